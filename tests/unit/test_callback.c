/* Tokens of callbacks: one spelling each, and no other; what a message is read as; and masking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool reads(const char *token, struct callback_place *place) {
    return callback_token_read(KEY, text_of(token), place);
}

static void test_tokens(void **state) {
    (void)state;
    for (size_t step = 0; step < STAGE_STEPS_MAX; step += 31) {
        char token[CALLBACK_TOKEN_SIZE];
        struct callback_place place;
        callback_token(KEY, RIG_ID, step, token);
        assert_true(reads(token, &place));
        assert_string_equal(place.id, RIG_ID);
        assert_int_equal(place.step, step);
        assert_false(callback_token_read("another", text_of(token), &place));
    }
}

/* Every other text of the same length that differs in one character is none, and neither is a longer or shorter one. */
static void test_what_is_almost_a_token(void **state) {
    (void)state;
    char token[CALLBACK_TOKEN_SIZE], changed[CALLBACK_TOKEN_SIZE + 2];
    struct callback_place place;
    callback_token(KEY, RIG_ID, 3, token);
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++)
        for (const char *c = "0aAZz-9.%/"; *c; c++) {
            if (token[i] == *c) continue;
            memcpy(changed, token, n + 1);
            changed[i] = *c;
            assert_false(reads(changed, &place));
        }
    for (size_t i = 0; i < n; i++) assert_false(callback_token_read(KEY, (struct text){token, i}, &place));
    snprintf(changed, sizeof changed, "%s0", token);
    assert_false(reads(changed, &place));
    snprintf(changed, sizeof changed, "sdcb-" RIG_ID "-03%s", strrchr(token, '-')); /* the same number */
    assert_false(reads(changed, &place));
    assert_false(reads("", &place));
}

static void test_root(void **state) {
    (void)state;
    struct rig rig;
    struct arena *arena = arena_new();
    struct callback_place place;
    rig_start(&rig, rig_two_steps);
    const char *url = json_gets_text(callback_root(arena, rig.run, KEY, "https://gw.test/base"), "url");
    assert_int_equal(strncmp(url, "https://gw.test/base/callbacks/sdcb-", 36), 0);
    assert_true(reads(strrchr(url, '/') + 1, &place));
    assert_int_equal(place.step, 1); /* told by the call of step 0, for the step that waits */
    assert_null(callback_root(arena, rig.run, KEY, ""));
    assert_null(callback_root(arena, rig.run, KEY, NULL));
    assert_null(callback_root(arena, rig.run, NULL, "http://x"));
    rig_end(&rig);
    arena_free(arena);
}

static void test_messages(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct reply_header headers[] = {
        {"Authorization", "Bearer x"}, {"Cookie", "y"}, {"X-Kind", "z"}, {"webhook-id", "m1"}};
    struct reply message = {.code = 200, .headers = headers, .header_count = 3, .body = TEXT("{\"a\": 1}")};
    struct run_callback plain, same, named, other;
    struct buf text;
    callback_read(arena, 2, &message, &plain);
    assert_int_equal(plain.step, 2);
    assert_int_equal(plain.message.bytes, 8);
    assert_false(plain.named);
    buf_init(&text, 4096);
    json_write(&text, plain.message.value);
    assert_string_equal(buf_cstr(&text), "{\"body\":{\"a\":1},\"headers\":{\"x-kind\":\"z\"},\"code\":200}");
    buf_fini(&text);
    message.header_count = 4;
    callback_read(arena, 2, &message, &named);
    assert_true(named.named);
    assert_string_not_equal(named.mark, plain.mark);
    message.body = TEXT("{\"a\": 2}");
    callback_read(arena, 2, &message, &same);
    assert_string_equal(same.mark, named.mark); /* its sender says that it is the same */
    message.header_count = 3;
    callback_read(arena, 2, &message, &other);
    assert_string_not_equal(other.mark, plain.mark);
    headers[0] = (struct reply_header){"X-GitHub-Delivery", "m1"};
    callback_read(arena, 2, &message, &other);
    assert_true(other.named);
    arena_free(arena);
}

static void test_masking(void **state) {
    (void)state;
    static const struct {
        const char *text, *masked; /* NULL: nothing to mask */
    } rows[] = {
        {"nothing here", NULL},
        {"", NULL},
        {"sdcb-", NULL},
        {"sdcb-ab", NULL},
        {"sdcb- and sdcb-x and no more", NULL},
        {"sdcb-01KAW00000ABCDEFGHJKMNPQRS-0-0123", "sdcb-***"},
        {"x/callbacks/sdcb-01KA-0-01?a=b", "x/callbacks/sdcb-***?a=b"},
        {"sdcb-x \"sdcb-abc\" sdcb-y 'sdcb-abcdef'", "sdcb-x \"sdcb-***\" sdcb-y 'sdcb-***'"},
        {"sdcb-sdcb-abc", "sdcb-***"},
        {"-sdcb--abc", "-sdcb-***"},
        {"a-b-c-d-sdcb", NULL},
        {"Sdcb-abcdef sdc-abcdef", NULL},
        {"2026-11-24 sdcb-abc-d", "2026-11-24 sdcb-***"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out, line;
        buf_init(&out, 4096);
        assert_int_equal(callback_mask_text(text_of(rows[i].text), &out), rows[i].masked != NULL);
        assert_string_equal(buf_cstr(&out), rows[i].masked ? rows[i].masked : "");
        buf_init(&line, strlen(rows[i].text) + 1);
        buf_adds(&line, rows[i].text);
        callback_mask(&line);
        assert_string_equal(buf_cstr(&line), rows[i].masked ? rows[i].masked : rows[i].text);
        buf_fini(&line);
        buf_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),  cmocka_unit_test(test_what_is_almost_a_token),
        cmocka_unit_test(test_root),    cmocka_unit_test(test_messages),
        cmocka_unit_test(test_masking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
