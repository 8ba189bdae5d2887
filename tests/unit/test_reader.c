/* The reader: large bodies parsed on a thread, called off at any moment, and freed behind everybody's back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "back/reader.h"
#include "lang/json.h"

#define MEMBERS 2000

struct bench {
    struct loop *loop;
    struct reader *reader;
};

struct asked {
    struct bench *bench;
    struct arena *arena;
    struct reply reply;
    struct reading *reading;
    int done;
    bool stops;
};

static void set_up(struct bench *bench) {
    bench->loop = loop_new(0);
    bench->reader = reader_new(bench->loop);
}

static void tear_down(struct bench *bench) {
    reader_free(bench->reader);
    loop_free(bench->loop);
}

static void on_read(void *arg) {
    struct asked *asked = arg;
    asked->done++;
    assert_non_null(asked->reply.value);
    if (asked->stops) loop_stop(asked->bench->loop);
}

static char *body_of(const char *last, size_t *ret_len) {
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_adds(&body, "{\"state\": \"done\"");
    for (int i = 0; i < MEMBERS; i++) buf_addf(&body, ", \"m%d\": [%d, \"a text\"]", i, i);
    buf_adds(&body, last);
    *ret_len = body.len;
    return buf_take(&body);
}

/* The names are gone before the thread has read, as those of a definition may be. */
static void ask_for(struct bench *bench, struct asked *asked, const char *last, const char *wanted) {
    struct arena *arena = arena_new();
    struct json_name *name = wanted ? arena_new_of(arena, struct json_name) : NULL;
    struct json_wanted *some = arena_new_of(arena, struct json_wanted);
    size_t len;
    char *body = body_of(last, &len);
    if (wanted) *name = (struct json_name){NULL, text_of(arena_strdup(arena, wanted))};
    *some = (struct json_wanted){.names = name};
    asked->bench = bench;
    asked->arena = arena_new();
    asked->reading = reader_begin(bench->reader, asked->arena, &asked->reply, body, len, wanted ? some : NULL, on_read,
                                  asked);
    arena_free(arena);
    assert_int_equal(asked->done, 0);
}

static void ask(struct bench *bench, struct asked *asked, const char *last) {
    ask_for(bench, asked, last, NULL);
}

static void reads(void **state) {
    (void)state;
    static const struct {
        const char *last;
        bool is_json;
    } rows[] = {{"}", true}, {"", false}, {", \"twice\": 1}", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        struct asked asked = {.stops = true};
        bool is_json;
        set_up(&bench);
        ask(&bench, &asked, rows[i].last);
        loop_run(bench.loop);
        assert_int_equal(asked.done, 1);
        const struct json *value = reply_body(asked.arena, &asked.reply, NULL, &is_json);
        assert_ptr_equal(value, asked.reply.value);
        assert_int_equal(is_json, rows[i].is_json);
        if (is_json) assert_string_equal(json_gets_text(value, "state"), "done");
        else assert_int_equal(json_kind(value), JSON_STRING);
        arena_free(asked.arena);
        tear_down(&bench);
    }
}

static void reads_what_is_wanted(void **state) {
    (void)state;
    struct bench bench;
    struct asked asked = {.stops = true};
    set_up(&bench);
    ask_for(&bench, &asked, "}", "state");
    loop_run(bench.loop);
    assert_int_equal(json_size(asked.reply.value), 1);
    assert_string_equal(json_gets_text(asked.reply.value, "state"), "done");
    arena_free(asked.arena);
    tear_down(&bench);
}

/* The first is called off at once, the second loses its arena at once; the third is read behind them. */
static void called_off(void **state) {
    (void)state;
    struct bench bench;
    struct asked canceled = {0}, left = {0}, last = {.stops = true};
    set_up(&bench);
    ask(&bench, &canceled, "}");
    reader_cancel(canceled.reading);
    ask(&bench, &left, "}");
    arena_free(left.arena);
    ask(&bench, &last, "}");
    loop_run(bench.loop);
    assert_int_equal(canceled.done + left.done, 0);
    assert_int_equal(last.done, 1);
    arena_free(canceled.arena);
    arena_free(last.arena);
    tear_down(&bench);
}

static void ends_before_it_was_read(void **state) {
    (void)state;
    struct bench bench;
    struct asked canceled = {0}, left = {0};
    set_up(&bench);
    ask(&bench, &canceled, "}");
    reader_cancel(canceled.reading);
    ask(&bench, &left, "}");
    arena_free(left.arena);
    tear_down(&bench);
    assert_int_equal(canceled.done + left.done, 0);
    arena_free(canceled.arena); /* after the loop, as the engine's last attempts may be */
}

static void values_outlive_it(void **state) {
    (void)state;
    struct bench bench;
    struct asked asked = {.stops = true};
    struct arena *kept = arena_new();
    set_up(&bench);
    ask(&bench, &asked, "}");
    loop_run(bench.loop);
    const struct json *shared = json_share(kept, json_gets(asked.reply.value, "m7"));
    arena_free(asked.arena);
    tear_down(&bench); /* all is freed but what is shared */
    struct buf out;
    buf_init(&out, 100);
    json_write(&out, shared);
    assert_string_equal(buf_cstr(&out), "[7,\"a text\"]");
    buf_fini(&out);
    arena_free(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(reads_what_is_wanted),
        cmocka_unit_test(called_off),
        cmocka_unit_test(ends_before_it_was_read),
        cmocka_unit_test(values_outlive_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
