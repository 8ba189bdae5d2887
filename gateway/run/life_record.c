/* Records of lives: what is known of a run, on its way into the store.
 *
 * One record of a life is written at a time; what changes meanwhile is written after it, so that STORED means that all
 * of it is durable. A first record that cannot be written ends the life (its start is refused); a later one is written
 * again until the store takes it: from its beginning where the store has lost it, and without its key where another
 * run has that by now, since a run that was acknowledged goes on to its end whatever becomes of the file. Where a stage
 * needs no disk all of this is the same, but that the store keeps the record in memory, and the text of it is not made;
 * an orderly stop moves it to the disk. */
#include <string.h>

#include "base/count.h"
#include "run/life.h"
#include "run/turns.h"

#define RECORD_MAX (64 * 1024 * 1024)
#define STORE_RETRY_MS 1000
#define MOVES_AT_ONCE 256 /* to the disk: each takes memory until it is there */

#ifdef MEM_SINGLE
#define WRITES_SPARE 0 /* each has memory of its own, so that a use behind its end is seen */
#else
#define WRITES_SPARE 64
#endif
#define WRITE_SPARE_BYTES (16 * 1024)

struct write {
    struct write *next; /* of those that wait to be used again */
    struct store_op op;
    struct buf body;
    struct life *life;
};

bool life_writes(const struct life *life) {
    return life->write || (life->store_timer && loop_timer_waits(life->store_timer));
}

/* ---- writing ---- */

static void fill_record(const struct life *life, struct store_record *record) {
    const struct run *run = life->run;
    memcpy(record->id, run->id, sizeof record->id);
    record->stage = run->stage_name;
    record->key = life->key_taken ? NULL : run->key;
    record->status = run->attached_to ? STORE_ATTACHED : run_status_word(run->status);
    record->definition = run->definition;
    record->created_ms = run->created_ms;
    record->updated_ms = run->updated_ms;
    record->ended_ms = run->ended_ms;
}

/* Every run has some, one after the other; each is as large as its record. */
static struct write *write_new(struct engine *engine) {
    struct write *write = engine->writes;
    if (write) {
        engine->writes = write->next;
        engine->write_count--;
        return write;
    }
    write = mem_alloc(sizeof *write);
    buf_init(&write->body, RECORD_MAX);
    return write;
}

static void write_free(struct engine *engine, struct write *write) {
    store_op_fini(&write->op);
    if (engine->write_count + 1 <= WRITES_SPARE && write->body.cap <= WRITE_SPARE_BYTES) {
        buf_clear(&write->body);
        write->next = engine->writes;
        engine->writes = write;
        engine->write_count++;
        return;
    }
    buf_fini(&write->body);
    mem_free(write);
}

void life_record_fini(struct engine *engine) {
    while (engine->writes) {
        struct write *write = engine->writes;
        engine->writes = write->next;
        buf_fini(&write->body);
        mem_free(write);
    }
}

static void unstored(struct life *life, const struct write *write) {
    struct log_context ctx = life_context(life->run);
    turns_free(life); /* before anybody is answered: who asks next does not find it at work */
    if (write->op.outcome == STORE_EXISTS) {
        ask_found_instead(life, write->op.found);
    } else {
        log_fault(LOG_ERROR, "start_not_recorded", &ctx, &write->op.fault);
        ask_refuse_all(life, &write->op.fault);
    }
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_UNSTORED});
}

static void on_store_due(void *arg) {
    life_record(arg);
}

/* What the next write has to be. Somebody else may have taken the record out of the file, or put it back. */
static void learn(struct life *life, const struct store_op *op) {
    struct log_context ctx = life_context(life->run);
    bool is_there = op->outcome == STORE_EXISTS ? strcmp(op->found->id, life->run->id) == 0
                                                : op->fault.kind == FAULT_CONFLICT;
    if (op->outcome == STORE_MISSING) {
        life->recorded = false;
        log_put(LOG_ERROR, "record_missing", &ctx);
    } else if (is_there) {
        life->recorded = true;
        log_put(LOG_WARN, "record_is_back", &ctx);
    } else if (op->outcome == STORE_EXISTS) {
        life->key_taken = true;
        log_put(LOG_ERROR, "record_without_key", &ctx, LOG_STR("key_of", op->found->id));
    } else {
        log_fault(LOG_ERROR, "record_not_written", &ctx, &op->fault);
    }
}

static void write_again_later(struct life *life, const struct write *write) {
    learn(life, &write->op);
    life->record_changed = true;
    if (!life->store_timer) {
        life->store_timer = mem_alloc(sizeof *life->store_timer);
        loop_timer_init(life->store_timer, life->engine->loop, "record again", on_store_due, life);
    }
    loop_timer_set(life->store_timer, STORE_RETRY_MS);
}

void life_record_moved(struct life *life) {
    life->engine->moving -= life->moves;
    life->moves = false;
}

/* The process that comes next is to go on with those that are in memory alone. */
void life_record_move(struct engine *engine) {
    while (engine->to_move && engine->moving < MOVES_AT_ONCE) {
        struct life *life = engine->to_move;
        engine->to_move = life->next;
        if (!life->in_memory) continue;
        life->in_memory = life->recorded = false;
        life->moves = true;
        engine->moving++;
        life_record(life);
    }
}

static void on_written(struct store_op *op) {
    struct write *write = op->arg;
    struct life *life = write->life;
    struct engine *engine = life->engine;
    life->write = NULL;
    bool good = op->outcome == STORE_DONE, was_new = !life->accepted;
    if (good && write->op.record.in_memory == life->in_memory) life->recorded = true;
    if (life->recorded) life_record_moved(life);
    if (good && was_new) {
        life->accepted = true;
        if (!life->run->ended_ms) count_add_labelled(COUNT_FAMILY_RUNS_STARTED, life->run->stage_name, NULL, 1);
    }
    if (good && was_new) turns_supersede(life);
    if (good && life->record_changed) {
        life_record(life);
    } else if (good) {
        life_drive(life, &(struct run_event){.kind = RUN_EVENT_STORED});
        if (!life->dead) ask_recorded(life);
    } else if (!life->accepted) {
        unstored(life, write);
    } else {
        write_again_later(life, write);
    }
    write_free(engine, write);
    life_record_move(engine); /* one that moved is there, or was no run after all */
    engine_look_drained(engine);
}

void life_record(struct life *life) {
    if (life_writes(life) || !life->engine->store) {
        life->record_changed = true;
        return;
    }
    struct write *write = write_new(life->engine);
    if (!life->in_memory) run_record_write(life->run, &write->body);
    write->life = life;
    write->op.kind = life->recorded ? STORE_UPDATE : STORE_INSERT;
    write->op.loop = life->engine->loop;
    write->op.done = on_written;
    write->op.arg = write;
    write->op.definition_source = life->run->stage ? life->run->stage->source : NULL;
    fill_record(life, &write->op.record);
    write->op.record.in_memory = life->in_memory;
    write->op.record.body = buf_text(&write->body);
    life->write = write;
    life->record_changed = false;
    store_submit(life->engine->store, &write->op);
}
