/* Logs: which lines count, what they give, what is said of the others, and how frames are taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "call/capture.h"

#define P "SPINNAKER_PROPERTY_"
#define C "SPINNAKER_CONFIG_JSON="
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static struct captured read_as(struct arena *arena, struct text body, enum stage_framing framing, const char *type) {
    struct stage_capture how = {.properties = true, .framing = framing};
    struct reply_header *header = arena_new_of(arena, struct reply_header);
    *header = (struct reply_header){"content-type", type};
    struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = body, .headers = header, .header_count = 1};
    struct captured captured;
    if (!type) reply.header_count = 0;
    capture_read(arena, &how, &reply, &captured);
    return captured;
}

static const char *written(struct arena *arena, const struct json *value) {
    struct buf text;
    buf_init(&text, 1 << 22);
    json_write(&text, value);
    const char *copy = arena_strdup(arena, buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

/* ---- lines ---- */

static const struct line_case {
    const char *log, *values, *warnings;
} line_cases[] = {
    {"", "{}", "[]"},
    {"\n\n  \n", "{}", "[]"},
    {"hello\nworld", "{}", "[]"},
    {P "a=1", "{\"a\":\"1\"}", "[]"},
    {P "a=1\n", "{\"a\":\"1\"}", "[]"},
    {P "a=1\r\n" P "b=2\r\n", "{\"a\":\"1\",\"b\":\"2\"}", "[]"},
    {" \t" P "a=1  ", "{\"a\":\"1\"}", "[]"},
    {P "imageTag = v1 ", "{\"imageTag\":\"v1\",\"imagetag\":\"v1\"}", "[]"},
    {P "Foo=x\n" P "FOO=y", "{\"Foo\":\"x\",\"foo\":\"y\",\"FOO\":\"y\"}", "[]"},
    {P "a=1\n" P "a=2", "{\"a\":\"2\"}", "[]"},
    {P "token=YWJj==", "{\"token\":\"YWJj==\"}", "[]"}, /* the first = parts, and no other */
    {P "q=a=b&c=d", "{\"q\":\"a=b&c=d\"}", "[]"},
    {P "a=", "{\"a\":\"\"}", "[]"},
    {P "a=\xc3\xa4 \xff", "{\"a\":\"\xc3\xa4 \xef\xbf\xbd\"}", "[]"},
    {P "\xc3\xa4=1", "{\"\xc3\xa4\":\"1\"}", "[]"},
    {"2026-01-01 " P "a=1\nexport " P "b=2", "{}", "[]"}, /* in the middle of a line it is talked about, not said */
    {"+ echo " P "a=1\n" P "a=1", "{\"a\":\"1\"}", "[]"},
    {"spinnaker_property_a=1", "{}", "[]"},
    {P "a", "{}", "[\"line 1: " P " has no = behind its name\"]"},
    {"x\n" P "=1", "{}", "[\"line 2: the name behind " P " is empty, longer than 128 bytes, or has blanks in it\"]"},
    {P "a b=1", "{}", "[\"line 1: the name behind " P " is empty, longer than 128 bytes, or has blanks in it\"]"},
    {P "\xff=1", "{}", "[\"line 1: the name behind " P " is empty, longer than 128 bytes, or has blanks in it\"]"},
    {P HUNDRED TEN TEN "123456789=1", "{}",
     "[\"line 1: the name behind " P " is empty, longer than 128 bytes, or has blanks in it\"]"},
    {P HUNDRED TEN TEN "12345678=1", "{\"" HUNDRED TEN TEN "12345678\":\"1\"}", "[]"},
    {C "{\"a\": 1, \"B\": {\"c\": [true, null]}}", "{\"a\":1,\"B\":{\"c\":[true,null]}}", "[]"},
    {"  " C "  {}  ", "{}", "[]"},
    {"x " C "{\"a\":1}", "{}", "[]"},
    {C "{\"a\":1}\n" C "{\"a\":2,\"b\":3}", "{\"a\":2,\"b\":3}", "[]"}, /* the top only, nothing is merged below */
    {C "{\"a\":{\"x\":1}}\n" C "{\"a\":{\"y\":2}}", "{\"a\":{\"y\":2}}", "[]"},
    {P "a=1\n" C "{\"a\":2}\n" P "A=3", "{\"a\":\"3\",\"A\":\"3\"}", "[]"},
    {C "{\"a\":\n1}", "{}", "[\"line 1: what follows " C " is not a JSON object\"]"},
    {C "[1]", "{}", "[\"line 1: what follows " C " is not a JSON object\"]"},
    {C, "{}", "[\"line 1: what follows " C " is not a JSON object\"]"},
    {C "{\"a b\":1,\"c\":2}", "{\"c\":2}",
     "[\"line 1: a name in " C " is empty, longer than 128 bytes, or has blanks in it\"]"},
    {"1\n2\n" C "nonsense\n" P "kept=yes\n" P "lost\n", "{\"kept\":\"yes\"}",
     "[\"line 3: what follows " C " is not a JSON object\",\"line 5: " P " has no = behind its name\"]"},
    {P "a=${secret}", "{\"a\":\"${secret}\"}", "[]"}, /* taken apart in the report, as everywhere */
};

static void test_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof line_cases / sizeof *line_cases; i++) {
        const struct line_case *c = &line_cases[i];
        struct arena *arena = arena_new();
        print_message("  %s\n", c->log);
        struct captured captured = read_as(arena, text_of(c->log), FRAMING_BY_TYPE, "text/plain");
        assert_string_equal(written(arena, captured.values), c->values);
        assert_string_equal(written(arena, captured.warnings), c->warnings);
        assert_true(text_same(captured.log, text_of(c->log)));
        arena_free(arena);
    }
}

/* ---- ceilings ---- */

static struct captured read_repeated(struct arena *arena, const char *before, const char *after, int count) {
    struct buf log;
    buf_init(&log, 32 << 20);
    for (int i = 0; i < count; i++) {
        buf_addf(&log, "%s%d%s\n", before, i, after);
    }
    struct text copy = {arena_strndup(arena, buf_cstr(&log), log.len), log.len};
    buf_fini(&log);
    return read_as(arena, copy, FRAMING_NONE, NULL);
}

/* A job may tell the same again and again, such as how far it is: the last line wins however many they are. */
static void test_the_same_name_many_times(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct captured captured = read_repeated(arena, P "Done=", "", 5 * CAPTURE_NAMES_MAX);
    assert_string_equal(written(arena, captured.values), "{\"Done\":\"4999\",\"done\":\"4999\"}");
    captured = read_repeated(arena, C "{\"done\":", "}", 5 * CAPTURE_NAMES_MAX);
    assert_string_equal(written(arena, captured.values), "{\"done\":4999}");
    assert_int_equal(json_size(captured.warnings), 0);
    arena_free(arena);
}

static void test_many(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct captured captured = read_repeated(arena, P "n", "=x", CAPTURE_NAMES_MAX);
    assert_int_equal(json_size(captured.values), CAPTURE_NAMES_MAX);
    assert_int_equal(json_size(captured.warnings), 0);
    captured = read_repeated(arena, P "N", "=x", CAPTURE_NAMES_MAX + 500);
    assert_int_equal(json_size(captured.values), 2 * CAPTURE_NAMES_MAX); /* lower-cased besides */
    assert_string_equal(written(arena, captured.warnings),
                        "[\"line 1001: more than 1000 names or 512 KiB; this and what follows is left out\"]");
    captured = read_repeated(arena, C "{\"a", "\":1,\"b\":2}", CAPTURE_NAMES_MAX);
    assert_int_equal(json_size(captured.values), CAPTURE_NAMES_MAX);
    assert_int_equal(json_size(captured.warnings), 1);
    captured = read_repeated(arena, P "n", "", 5000);
    assert_int_equal(json_size(captured.values), 0);
    assert_int_equal(json_size(captured.warnings), CAPTURE_WARNINGS_MAX + 1);
    assert_true(text_is(json_text(json_at(captured.warnings, CAPTURE_WARNINGS_MAX)), "and 4980 further warnings"));
    arena_free(arena);
}

static struct captured read_long(struct arena *arena, const char *before, size_t len, const char *after) {
    struct buf log;
    buf_init(&log, 32 << 20);
    buf_adds(&log, before);
    memset(buf_room(&log, len), 'x', len);
    buf_grew(&log, len);
    buf_adds(&log, after);
    struct text copy = {arena_strndup(arena, buf_cstr(&log), log.len), log.len};
    buf_fini(&log);
    return read_as(arena, copy, FRAMING_NONE, NULL);
}

static void test_long(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct captured captured = read_long(arena, P "a=", 1 << 18, "\n" P "b=1");
    assert_int_equal(json_text(json_gets(captured.values, "a")).len, 1 << 18);
    assert_non_null(json_gets(captured.values, "b"));
    captured = read_long(arena, P "b=1\n" P "a=", CAPTURE_BYTES_MAX, "\n");
    assert_string_equal(written(arena, captured.values), "{\"b\":\"1\"}");
    assert_int_equal(json_size(captured.warnings), 1);
    captured = read_long(arena, C "{\"a\":\"", CAPTURE_JSON_MAX, "\"}\n" P "b=1");
    assert_string_equal(written(arena, captured.values), "{\"b\":\"1\"}");
    assert_string_equal(written(arena, captured.warnings),
                        "[\"line 1: what follows " C
                        " is too large: 256 KiB, 10000 values and 32 levels are possible\"]");
    captured = read_long(arena, "", 16 << 20, "\n" P "b=1"); /* a line of any length that is none of ours */
    assert_string_equal(written(arena, captured.values), "{\"b\":\"1\"}");
    arena_free(arena);
}

/* ---- frames ---- */

#define MULTIPLEXED "application/vnd.docker.multiplexed-stream"
#define RAW "application/vnd.docker.raw-stream"
#define OCTETS "application/octet-stream" /* what Podman 4 says */

static const struct frame_case {
    const char *name;
    enum stage_framing framing;
    const char *type, *body;
    size_t len;
    const char *log, *values, *warnings;
} frame_cases[] = {
#define BODY(s) s, sizeof(s) - 1
    {"one frame", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\0\x17" P "a=1\n"), P "a=1\n", "{\"a\":\"1\"}", "[]"},
    {"by its type", FRAMING_BY_TYPE, MULTIPLEXED, BODY("\2\0\0\0\0\0\0\x17" P "a=1\n"), P "a=1\n", "{\"a\":\"1\"}",
     "[]"},
    {"by its type, with a parameter", FRAMING_BY_TYPE, MULTIPLEXED "; x=y", BODY("\1\0\0\0\0\0\0\2a\n"), "a\n", "{}",
     "[]"},
    {"not by its type", FRAMING_BY_TYPE, OCTETS, BODY("\1\0\0\0\0\0\0\2a\n"), "\1", "{}", "[]"},
    {"said to be plain", FRAMING_NONE, MULTIPLEXED, BODY("\1\0\0\0\0\0\0\2a\n"), "\1", "{}", "[]"},
    {"without a type", FRAMING_DOCKER, NULL, BODY("\1\0\0\0\0\0\0\2a\n"), "a\n", "{}", "[]"},
    {"empty", FRAMING_DOCKER, OCTETS, BODY(""), "", "{}", "[]"},
    {"a frame without content", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\0\0"), "", "{}", "[]"},
    {"a terminal's log", FRAMING_DOCKER, RAW, BODY(P "a=1\r\n"), P "a=1\r\n", "{\"a\":\"1\"}", "[]"},
    {"streams in turns", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\0\3out\2\0\0\0\0\0\0\4err\n\1\0\0\0\0\0\0\5put\n."),
     "err\noutput\n.", "{}", "[]"},
    {"both open at the end", FRAMING_DOCKER, OCTETS, BODY("\2\0\0\0\0\0\0\3err\1\0\0\0\0\0\0\3out"), "out\nerr", "{}",
     "[]"},
    {"the engine's own words", FRAMING_DOCKER, OCTETS, BODY("\3\0\0\0\0\0\0\4bad\n"), "bad\n", "{}", "[]"},
    {"cut in its content", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\1\0" P "a=1"), P "a=1", "{\"a\":\"1\"}",
     "[\"the log ends within a frame\"]"},
    {"cut in its head", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\0\2a\n\1\0\0"), "a\n", "{}",
     "[\"there is no frame at byte 10 of the log; what stands from there on is left out\"]"},
    {"no frame behind a frame", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\0\0\0\2a\n" P "a=1"), "a\n", "{}",
     "[\"there is no frame at byte 10 of the log; what stands from there on is left out\"]"},
    {"of 4 GiB", FRAMING_DOCKER, OCTETS, BODY("\1\0\0\0\xff\xff\xff\xff" P "a=1"), P "a=1", "{\"a\":\"1\"}",
     "[\"the log ends within a frame\"]"},
};

static void test_frames(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof frame_cases / sizeof *frame_cases; i++) {
        const struct frame_case *c = &frame_cases[i];
        struct arena *arena = arena_new();
        print_message("  %s\n", c->name);
        struct captured captured = read_as(arena, (struct text){c->body, c->len}, c->framing, c->type);
        assert_string_equal(arena_strndup(arena, captured.log.at, captured.log.len), c->log);
        assert_string_equal(written(arena, captured.values), c->values);
        assert_string_equal(written(arena, captured.warnings), c->warnings);
        arena_free(arena);
    }
}

static void add_frame(struct buf *to, char stream, struct text content) {
    char head[8] = {stream, 0, 0, 0, 0, 0, (char)(content.len >> 8), (char)content.len};
    buf_add(to, head, sizeof head);
    buf_addt(to, content);
}

/* Wherever an engine cuts, and whatever the other stream says meanwhile, lines are whole. */
static void test_every_cut(void **state) {
    (void)state;
    static const char log[] = "building\n" P "Image=registry/app:7\nSPINNAKER_CONFIG_JSON={\"n\": [1, 2]}\nend";
    for (size_t size = 1; size < sizeof log; size++) {
        struct arena *arena = arena_new();
        struct buf framed;
        buf_init(&framed, 1 << 16);
        for (size_t at = 0; at < sizeof log - 1; at += size) {
            size_t left = sizeof log - 1 - at;
            add_frame(&framed, 1, (struct text){log + at, size < left ? size : left});
            add_frame(&framed, 2, TEXT("noise "));
        }
        struct captured captured = read_as(arena, buf_text(&framed), FRAMING_DOCKER, NULL);
        assert_string_equal(written(arena, captured.values),
                            "{\"Image\":\"registry/app:7\",\"image\":\"registry/app:7\",\"n\":[1,2]}");
        assert_int_equal(json_size(captured.warnings), 0);
        assert_true(text_starts(captured.log, log));
        buf_fini(&framed);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),  cmocka_unit_test(test_the_same_name_many_times),
        cmocka_unit_test(test_many),   cmocka_unit_test(test_long),
        cmocka_unit_test(test_frames), cmocka_unit_test(test_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
