/* What JSON is made of: a string's end is found at every offset in its words, and escapes are told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "lang/json_token.h"

enum { LONGEST = 20 };

/* A string of `len` bytes, one of them `c`, between two more quotes that stand in the same words. */
static void find_end(size_t len, size_t place, char c) {
    char text[LONGEST + 12];
    memset(text, 'x', sizeof text);
    text[0] = text[len + 1] = '"';
    text[1 + place] = c;
    memcpy(text + len + 2, "\"\\\"\x01\xFF", 5);
    const char *at = text;
    struct text inner = {0};
    unsigned holds = 0;
    bool closed = json_token_string(&at, text + sizeof text, &inner, &holds);
    bool control = (unsigned char)c < 0x20;
    size_t end = c == '"' ? place : len;
    if (c == '\\' && place + 1 == len) end = len + 1; /* it escapes the closing quote */
    assert_int_equal(closed, !control);
    assert_int_equal(at - text, control ? 1 + place : end + 2);
    if (!closed) return;
    assert_ptr_equal(inner.at, text + 1);
    assert_int_equal(inner.len, end);
    assert_int_equal(!!(holds & JSON_TOKEN_ESCAPES), c == '\\');
    assert_int_equal(!!(holds & JSON_TOKEN_ODD), c == '\\' && place + 1 < len); /* \x is none */
    if ((unsigned char)c >= 0x80) assert_true(holds & JSON_TOKEN_WIDE);
}

static void ends_are_found_at_every_offset(void **state) {
    (void)state;
    static const unsigned char bytes[] = {0,   1,    0x1F, ' ',  '!',  '"',  '#',  '[',  '\\', ']',  'z',
                                          '{', 0x7E, 0x7F, 0x80, 0x9F, 0xA0, 0xA2, 0xA3, 0xDC, 0xDD, 0xFF};
    for (size_t i = 0; i < sizeof bytes; i++)
        for (size_t len = 1; len <= LONGEST; len++)
            for (size_t place = 0; place < len; place++) find_end(len, place, (char)bytes[i]);
}

static void what_is_cut_ends_nowhere(void **state) {
    (void)state;
    static const char *const texts[] = {"\"",        "\"a",        "\"\\",       "\"\\\"",
                                        "\"1234567", "\"12345678", "\"123456\\", "\"1234567\\"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *at = texts[i], *end = at + strlen(at);
        struct text inner;
        unsigned holds;
        assert_false(json_token_string(&at, end, &inner, &holds));
        assert_ptr_equal(at, end);
    }
}

static void escapes_are_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *escape;
        enum json_token_fault fault;
        size_t len; /* that is read */
        uint32_t character;
    } rows[] = {{"\\n", JSON_TOKEN_GOOD, 2, '\n'},
                {"\\\"", JSON_TOKEN_GOOD, 2, '"'},
                {"\\/x", JSON_TOKEN_GOOD, 2, '/'},
                {"\\u00e9", JSON_TOKEN_GOOD, 6, 0xE9},
                {"\\u20AC0", JSON_TOKEN_GOOD, 6, 0x20AC},
                {"\\uD83D\\ude00", JSON_TOKEN_GOOD, 12, 0x1F600},
                {"\\udbff\\udfff", JSON_TOKEN_GOOD, 12, 0x10FFFF},
                {"\\", JSON_TOKEN_CUT, 1, 0},
                {"\\x", JSON_TOKEN_UNKNOWN, 2, 0},
                {"\\N", JSON_TOKEN_UNKNOWN, 2, 0},
                {"\\\xE9", JSON_TOKEN_UNKNOWN, 2, 0},
                {"\\u", JSON_TOKEN_DIGITS, 2, 0},
                {"\\u12", JSON_TOKEN_DIGITS, 2, 0},
                {"\\u12g4", JSON_TOKEN_DIGITS, 2, 0},
                {"\\u-123", JSON_TOKEN_DIGITS, 2, 0},
                {"\\u0000", JSON_TOKEN_NUL, 6, 0},
                {"\\udc00", JSON_TOKEN_HALF, 6, 0},
                {"\\ud800", JSON_TOKEN_HALF, 6, 0},
                {"\\ud800\\u", JSON_TOKEN_HALF, 6, 0},
                {"\\ud800\\u0041", JSON_TOKEN_HALF, 6, 0},
                {"\\ud800\\ud800", JSON_TOKEN_HALF, 6, 0},
                {"\\ud800x", JSON_TOKEN_HALF, 6, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = rows[i].escape, *end = at + strlen(at);
        uint32_t character = 0;
        assert_int_equal(json_token_escape(&at, end, &character), rows[i].fault);
        assert_int_equal(at - rows[i].escape, rows[i].len);
        if (!rows[i].fault) assert_int_equal(character, rows[i].character);
        at = rows[i].escape;
        assert_int_equal(json_token_check_escapes(&at, end), rows[i].fault);
    }
}

static void escapes_are_taken_out_in_place(void **state) {
    (void)state;
    char text[] = "a\\u0041\\n\\ud83d\\ude00long enough\\\\z\\xq";
    const char *at = text;
    char *to = text;
    assert_int_equal(json_token_unescape(&at, text + sizeof text - 1, &to), JSON_TOKEN_UNKNOWN);
    assert_true(text_is((struct text){text, (size_t)(to - text)}, "aA\n\xF0\x9F\x98\x80long enough\\z"));
    assert_string_equal(at, "q");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_found_at_every_offset),
        cmocka_unit_test(what_is_cut_ends_nowhere),
        cmocka_unit_test(escapes_are_told_apart),
        cmocka_unit_test(escapes_are_taken_out_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
