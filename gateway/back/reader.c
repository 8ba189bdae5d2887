/* A thread that parses and frees large bodies, so that the loop does neither.
 *
 * A reading goes from the loop to the thread and back by a queue and a message, and once more to the thread to be
 * freed. Where it is at any moment belongs to one side alone: nobody but the thread touches the value while it is made,
 * nobody but the loop once it was told. The values are counted by jansson, atomically, so what a run keeps of them
 * outlives the reading. Always holds: a reading ends after the loop has let it go (its arena was freed) and the thread
 * is done with it, whichever comes last. transfer.c is the only caller. */
#include "back/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define LATER 10 /* as nice(1) has it */

struct reading {
    struct reading *next;
    struct reader *reader;
    char *body;
    struct arena *arena;              /* of the value, and of the names */
    const struct json_wanted *wanted; /* NULL: all */
    bool was_read;
    struct reply read; /* as the thread sees it */
    struct reply *reply;
    void (*done)(void *arg); /* NULL: nobody wants to know any more */
    void *arg;
    bool under_way; /* the thread has it, or its message is on the way */
    bool let_go;    /* the arena is gone */
};

struct reader {
    struct loop *loop;
    bool started, alone; /* alone: the thread could not be started, or has ended */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct reading *first, **last;
    bool stopping;
    atomic_int holders; /* its owner, and each reading */
};

static void reader_unref(struct reader *reader) {
    if (atomic_fetch_sub(&reader->holders, 1) > 1) return;
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->lock);
    mem_free(reader);
}

/* ---- on the thread ---- */

static void reading_free(struct reading *reading) {
    struct reader *reader = reading->reader;
    arena_free(reading->arena);
    mem_free(reading->body);
    mem_free(reading);
    reader_unref(reader);
}

static void on_read(void *arg);

static void read_one(struct reading *reading) {
    reading->read.value = reply_body(reading->arena, &reading->read, reading->wanted, &reading->read.is_json);
    reading->was_read = true;
}

/* The first time it is to be read, the second time to be freed. */
static void work_on(struct reading *reading) {
    if (reading->was_read) {
        reading_free(reading);
        return;
    }
    read_one(reading);
    loop_post(reading->reader->loop, on_read, reading);
}

static void *reader_main(void *arg) {
    struct reader *reader = arg;
    setpriority(PRIO_PROCESS, 0, LATER); /* of this thread alone, on Linux: where it shares a core, loops go first */
    pthread_mutex_lock(&reader->lock);
    while (reader->first || !reader->stopping) {
        struct reading *reading = reader->first;
        if (!reading) {
            pthread_cond_wait(&reader->changed, &reader->lock);
            continue;
        }
        reader->first = reading->next;
        if (!reader->first) reader->last = &reader->first;
        pthread_mutex_unlock(&reader->lock);
        work_on(reading);
        pthread_mutex_lock(&reader->lock);
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

/* ---- on the loop ---- */

static void hand_over(struct reading *reading) {
    struct reader *reader = reading->reader;
    if (reader->alone) {
        work_on(reading);
        return;
    }
    reading->next = NULL;
    pthread_mutex_lock(&reader->lock);
    *reader->last = reading;
    reader->last = &reading->next;
    pthread_cond_signal(&reader->changed);
    pthread_mutex_unlock(&reader->lock);
}

static void on_read(void *arg) {
    struct reading *reading = arg;
    reading->under_way = false;
    if (reading->let_go) {
        hand_over(reading);
        return;
    }
    reading->reply->value = reading->read.value;
    reading->reply->is_json = reading->read.is_json;
    void (*done)(void *) = reading->done;
    reading->done = NULL;
    if (done) done(reading->arg);
}

static void let_go(void *arg) {
    struct reading *reading = arg;
    reading->let_go = true;
    if (!reading->under_way) hand_over(reading);
}

static void start(struct reader *reader) {
    if (reader->started || reader->alone) return;
    reader->started = pthread_create(&reader->thread, NULL, reader_main, reader) == 0;
    reader->alone = !reader->started;
}

/* Those are of a definition, which may be let go before the thread has read. */
static const struct json_wanted *copy_of(struct arena *arena, const struct json_wanted *wanted) {
    if (!wanted) return NULL;
    struct json_wanted *made = arena_new_of(arena, struct json_wanted);
    made->all = wanted->all;
    for (const struct json_name *from = wanted->names; from; from = from->next) {
        struct json_name *name = arena_new_of(arena, struct json_name);
        *name = (struct json_name){made->names, {arena_strndup(arena, from->text.at, from->text.len), from->text.len}};
        made->names = name;
    }
    return made;
}

struct reading *reader_begin(struct reader *reader, struct arena *arena, struct reply *reply, char *body, size_t len,
                             const struct json_wanted *wanted, void (*done)(void *arg), void *arg) {
    struct reading *reading = mem_alloc(sizeof *reading);
    reply->body = (struct text){body, len};
    *reading = (struct reading){.reader = reader, .body = body, .read = {.body = reply->body}, .reply = reply};
    reading->arena = arena_new();
    reading->wanted = copy_of(reading->arena, wanted);
    reading->done = done;
    reading->arg = arg;
    reading->under_way = true;
    atomic_fetch_add(&reader->holders, 1);
    arena_defer(arena, let_go, reading);
    start(reader);
    hand_over(reading);
    return reading;
}

void reader_cancel(struct reading *reading) {
    reading->done = NULL;
}

struct reader *reader_new(struct loop *loop) {
    struct reader *reader = mem_alloc(sizeof *reader);
    *reader = (struct reader){.loop = loop};
    reader->last = &reader->first;
    atomic_init(&reader->holders, 1);
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->changed, NULL);
    return reader;
}

void reader_free(struct reader *reader) {
    if (!reader) return;
    if (reader->started) {
        pthread_mutex_lock(&reader->lock);
        reader->stopping = true;
        pthread_cond_signal(&reader->changed);
        pthread_mutex_unlock(&reader->lock);
        pthread_join(reader->thread, NULL);
        reader->alone = true;
        loop_flush(reader->loop); /* what was read last, for nobody */
    }
    reader_unref(reader);
}
