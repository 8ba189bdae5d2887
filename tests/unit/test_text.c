/* base/text: slices, numbers, distances, and buffers with their ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void compares(void **state) {
    (void)state;
    assert_true(text_same(text_of(NULL), TEXT("")));
    assert_true(text_same(TEXT("a\0b"), TEXT("a\0b")));
    assert_false(text_same(TEXT("a\0b"), TEXT("a\0c")));
    assert_true(text_is(TEXT("word"), "word"));
    assert_false(text_is(TEXT("word"), "words"));
    assert_true(text_is_nocase(TEXT("Content-TYPE"), "content-type"));
    assert_false(text_is_nocase(TEXT("Content-TYPE"), "content-typ"));
    assert_true(text_starts(TEXT("https://h"), "https:"));
    assert_true(text_starts(text_of(NULL), ""));
    assert_false(text_starts(TEXT("http"), "https"));
    assert_true(text_ends(TEXT("orca.yml"), ".yml"));
    assert_true(text_ends(text_of(NULL), ""));
    assert_false(text_ends(TEXT("yml"), ".yml"));
    assert_true(text_holds(TEXT("a${b"), "${"));
    assert_false(text_holds(TEXT("a$"), "${"));
    assert_true(text_is(text_trim(TEXT(" \t\r\n a b \n")), "a b"));
    assert_int_equal(text_trim(TEXT(" \n ")).len, 0);
}

static void cuts_into_parts(void **state) {
    (void)state;
    static const struct {
        const char *whole, *parts[5];
    } rows[] = {{"a,,b", {"a", "", "b"}}, {"", {""}}, {",", {"", ""}}, {"a,", {"a", ""}}, {"one", {"one"}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text rest = text_of(rows[i].whole), head;
        size_t n = 0;
        for (; text_cut(&rest, ',', &head); n++) {
            assert_non_null(rows[i].parts[n]);
            assert_true(text_is(head, rows[i].parts[n]));
        }
        assert_null(rows[i].parts[n]);
    }
    struct text none = {0}, head;
    assert_false(text_cut(&none, ',', &head));
}

static void reads_integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1e3", false, 0},
        {"0x1", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t value = 42;
        assert_int_equal(text_to_int(text_of(rows[i].text), &value), rows[i].good);
        assert_int_equal(value, rows[i].good ? rows[i].value : 42);
    }
    int64_t value;
    assert_false(text_to_int(TEXT("1\0"), &value));
}

static void checks_utf8(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool good;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"\xC2\x80", true},
        {"\xDF\xBF", true},
        {"\xE0\xA0\x80", true},
        {"\xED\x9F\xBF", true},
        {"\xEF\xBF\xBF", true},
        {"\xF0\x90\x80\x80", true},
        {"\xF4\x8F\xBF\xBF", true},
        {"\x80", false},             /* alone */
        {"\xC0\xAF", false},         /* overlong '/' */
        {"\xC1\xBF", false},         /* overlong */
        {"\xE0\x9F\xBF", false},     /* overlong */
        {"\xF0\x8F\xBF\xBF", false}, /* overlong */
        {"\xED\xA0\x80", false},     /* surrogate */
        {"\xF4\x90\x80\x80", false}, /* above U+10FFFF */
        {"\xF5\x80\x80\x80", false},
        {"\xFF", false},
        {"\xC3", false}, /* cut */
        {"a\xE2\x82", false},
        {"\xE2\x28\xA1", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) assert_int_equal(text_utf8_check(text_of(rows[i].bytes)), rows[i].good);
}

static void writes_characters(void **state) {
    (void)state;
    static const struct {
        uint32_t character;
        const char *written;
    } rows[] = {{'a', "a"},
                {0x7F, "\x7F"},
                {0x80, "\xC2\x80"},
                {0xE9, "\xC3\xA9"},
                {0x7FF, "\xDF\xBF"},
                {0x800, "\xE0\xA0\x80"},
                {0xFFFF, "\xEF\xBF\xBF"},
                {0x10000, "\xF0\x90\x80\x80"},
                {0x10FFFF, "\xF4\x8F\xBF\xBF"}};
    char room[TEXT_CHARACTER_MAX * COUNT(rows)], *to = room;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *end = text_put_character(to, rows[i].character);
        assert_true(text_is((struct text){to, (size_t)(end - to)}, rows[i].written));
        to = end;
    }
    struct text all = {room, (size_t)(to - room)};
    assert_true(text_utf8_check(all));
    assert_int_equal(text_characters(all), COUNT(rows));
    assert_int_equal(text_characters(text_of(NULL)), 0);
}

static void beginnings(void **state) {
    (void)state;
    static const struct {
        const char *whole;
        size_t most, len;
    } rows[] = {{"abc", 4, 3},
                {"abc", 3, 3},
                {"abc", 2, 2},
                {"abc", 0, 0},
                {"", 0, 0},
                {"\xC3\xA9", 1, 0},
                {"a\xC3\xA9", 2, 1},
                {"a\xC3\xA9z", 3, 3},
                {"a\xE2\x82\xAC", 3, 1},
                {"a\xE2\x82\xAC", 2, 1},
                {"\xF0\x9F\x98\x80", 3, 0},
                {"a\xF0\x9F\x98\x80\xF0\x9F\x98\x80", 8, 5},
                {"\x80\x80\x80\x80\x80\x80", 5, 2}}; /* which is nothing: most of it stays */
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text whole = text_of(rows[i].whole), beginning = text_beginning(whole, rows[i].most);
        assert_ptr_equal(beginning.at, whole.at);
        assert_int_equal(beginning.len, rows[i].len);
    }
    assert_int_equal(text_beginning(text_of(NULL), 7).len, 0);
    assert_true(text_same_cstr(NULL, NULL));
    assert_true(text_same_cstr("ab", (char[]){"ab"}));
    assert_false(text_same_cstr("ab", "abc"));
    assert_false(text_same_cstr(NULL, ""));
    assert_false(text_same_cstr("", NULL));
}

static void measures_distance(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {{"", "", 0},      {"", "abc", 3},          {"abc", "", 3},    {"abc", "abc", 0},
                {"ab", "ba", 1},  {"every", "evry", 1},    {"url", "uri", 1}, {"timeout", "timeuot", 1},
                {"ca", "abc", 3}, {"kitten", "sitting", 3}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(text_distance(text_of(rows[i].a), text_of(rows[i].b)), rows[i].distance);
        assert_int_equal(text_distance(text_of(rows[i].b), text_of(rows[i].a)), rows[i].distance);
    }
    char longest[65];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(text_distance((struct text){longest, 63}, TEXT("")), 63);
    assert_int_equal(text_distance((struct text){longest, 64}, TEXT("")), 64);
    assert_int_equal(text_distance((struct text){longest, 65}, (struct text){longest, 65}), 0);
}

static void finds_the_nearest_name(void **state) {
    (void)state;
    static const char *const names[] = {"url", "method", "success", "success_when"};
    assert_string_equal(text_nearest("metod", names, COUNT(names)), "method");
    assert_string_equal(text_nearest("succes", names, COUNT(names)), "success");
    assert_string_equal(text_nearest("ulr", names, COUNT(names)), "url");
    assert_null(text_nearest("headers", names, COUNT(names)));
    static const char *const longer[] = {"parameters", "integer", "description"};
    assert_string_equal(text_nearest("params", longer, COUNT(longer)), "parameters");
    assert_string_equal(text_nearest("int", longer, COUNT(longer)), "integer");
    assert_string_equal(text_nearest("descr", longer, COUNT(longer)), "description");
    assert_null(text_nearest("pa", longer, COUNT(longer)));
    assert_null(text_nearest("partners", longer, COUNT(longer)));
    assert_null(text_nearest("idea", longer, COUNT(longer)));
    assert_null(text_nearest("", names, COUNT(names)));
    assert_null(text_nearest("url", names, 0));
}

static void buffer_grows_to_its_ceiling(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    assert_string_equal(buf_cstr(&buf), "");
    for (int i = 0; i < 250; i++) buf_addf(&buf, "%04d", i);
    assert_int_equal(buf.len, 1000);
    assert_false(buf.full);
    assert_int_equal(strlen(buf_cstr(&buf)), 1000);
    assert_memory_equal(buf.at + 996, "0249", 4);
    buf_addc(&buf, 'x');
    assert_true(buf.full);
    assert_int_equal(buf.len, 1000);
    buf_clear(&buf);
    assert_false(buf.full);
    assert_string_equal(buf_cstr(&buf), "");
    buf_fini(&buf);
}

static void full_buffer_takes_nothing_more(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 4);
    buf_adds(&buf, "abc");
    buf_adds(&buf, "de"); /* does not fit: not even its first byte is taken */
    buf_addc(&buf, 'd');  /* would fit, but what comes before it is missing */
    assert_true(buf.full);
    assert_string_equal(buf_cstr(&buf), "abc");
    assert_null(buf_room(&buf, 0));
    buf_fini(&buf);
}

static void buffer_is_filled_in_place_and_taken(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_adds(&buf, "world");
    assert_string_equal(buf_cstr(&buf), "world");
    char *room = buf_room(&buf, 3);
    memcpy(room, "!??", 3);
    buf_grew(&buf, 1);
    assert_string_equal(buf_cstr(&buf), "world!");
    char *taken = buf_take(&buf);
    assert_string_equal(taken, "world!");
    mem_free(taken);
    assert_int_equal(buf.len, 0);
    taken = buf_take(&buf);
    assert_string_equal(taken, "");
    mem_free(taken);
    buf_adds(&buf, "again");
    assert_string_equal(buf_cstr(&buf), "again");
    buf_fini(&buf);
}

static void writes_json_strings(void **state) {
    (void)state;
    static const struct {
        struct text in;
        const char *out;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\0\x01\x1F\x7F", 4}, "\"\\u0000\\u0001\\u001f\\u007f\""},
        {{"\xC3\xA9\xF0\x9F\x98\x80", 6}, "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {{NULL, 0}, "\"\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf buf;
        buf_init(&buf, 100);
        buf_add_json_string(&buf, rows[i].in);
        assert_string_equal(buf_cstr(&buf), rows[i].out);
        buf_fini(&buf);
    }
}

/* Every byte that needs an escape, or looks like one, at every offset of texts of every length up to three words: into
 * a buffer with room to spare, one that has to grow, and one that is filled to its ceiling. */
static void escapes_at_every_offset(void **state) {
    (void)state;
    static const char specials[] = {'"',  '\\', '\n', 1,    0x1F, 0x20,       0x21,
                                    0x23, 0x5B, 0x5D, 0x7E, 0x7F, (char)0x80, (char)0xFF};
    char *in = mem_alloc(24), expected[200];
    for (size_t len = 1; len <= 24; len++) {
        for (size_t at = 0; at < len * COUNT(specials); at++) {
            struct text t = {in + 24 - len, len}; /* ends with the memory: what reads beyond is caught by ASan */
            unsigned char c = (unsigned char)specials[at / len];
            memset(in, 'x', 24);
            in[24 - len + at % len] = (char)c;
            in[23 - (at * 7) % len] = (char)c;
            size_t made = 0;
            for (size_t i = 0; i < len; i++) {
                unsigned char b = (unsigned char)t.at[i];
                if (b == '\n') made += (size_t)snprintf(expected + made, 8, "\\n");
                else if (b == '"' || b == '\\') made += (size_t)snprintf(expected + made, 8, "\\%c", b);
                else if (b < 0x20 || b == 0x7F) made += (size_t)snprintf(expected + made, 8, "\\u%04x", b);
                else expected[made++] = (char)b;
            }
            expected[made] = 0;
            for (size_t room = 0; room < 3; room++) {
                struct buf buf;
                buf_init(&buf, room == 2 ? made : 4096);
                if (room == 1 && buf_room(&buf, 2000)) buf_grew(&buf, 0);
                buf_add_json_inner(&buf, t);
                assert_string_equal(buf_cstr(&buf), expected);
                assert_int_equal(buf.len, made);
                assert_false(buf.full);
                buf_addc(&buf, '!');
                assert_true(buf.full == (room == 2));
                buf_fini(&buf);
            }
        }
    }
    mem_free(in);
}

static void writes_integers(void **state) {
    (void)state;
    int64_t values[2 * 20 * 3 + 3] = {INT64_MIN, INT64_MIN + 1, INT64_MAX};
    size_t count = 3;
    for (int64_t power = 1, digits = 1; digits < 20; digits++, power = digits < 20 ? power * 10 : power)
        for (int64_t i = -1; i < 2; i++) values[count++] = power + i, values[count++] = -power - i;
    for (size_t i = 0; i < count; i++) {
        struct buf roomy, tight;
        char expected[24];
        int len = snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        buf_init(&roomy, 100);
        buf_init(&tight, (size_t)len);
        if (buf_room(&roomy, 60)) buf_grew(&roomy, 0);
        buf_addi(&roomy, values[i]);
        buf_addi(&tight, values[i]);
        assert_string_equal(buf_cstr(&roomy), expected);
        assert_string_equal(buf_cstr(&tight), expected);
        assert_false(tight.full);
        buf_addi(&tight, 0);
        assert_true(tight.full);
        buf_fini(&roomy);
        buf_fini(&tight);
    }
}

static void writes_hex(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 6);
    buf_add_hex(&buf, "\x00\xAF\x10", 3);
    assert_string_equal(buf_cstr(&buf), "00af10");
    buf_add_hex(&buf, "\x01", 1);
    assert_true(buf.full);
    assert_int_equal(buf.len, 6);
    buf_fini(&buf);
}

static void writes_and_reads_base64(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xFB\xEF\xFF", "++//"}}; /* RFC 4648, 10 */
    static const char *const wrong[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "Z===", "Zm9-", "Zm 9", "===="};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf buf;
        buf_init(&buf, 100);
        buf_add_base64(&buf, text_of(pairs[i][0]));
        assert_string_equal(buf_cstr(&buf), pairs[i][1]);
        buf_clear(&buf);
        assert_true(buf_add_base64_decoded(&buf, text_of(pairs[i][1])));
        assert_string_equal(buf_cstr(&buf), pairs[i][0]);
        buf_fini(&buf);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct buf buf;
        buf_init(&buf, 100);
        if (buf_add_base64_decoded(&buf, text_of(wrong[i]))) fail_msg("%s is taken for base64", wrong[i]);
        buf_fini(&buf);
    }
}

/* Whatever is looked at a word at a time: one odd byte at each place of each length. */
static void checks_every_place(void **state) {
    (void)state;
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            char *room = mem_alloc(len); /* no more, so that a read behind it is seen */
            struct text text = {memset(room, 'a', len), len};
            assert_true(text_field_check(text) && text_utf8_check(text) && !text_holds(text, "$"));
            assert_true(text_plain_check(text) && text_token_length(text) == len);
            room[at] = ' ';
            assert_true(text_plain_check(text) && !text_token_check(text) && text_token_length(text) == at);
            room[at] = '~';
            assert_true(text_plain_check(text) && text_token_check(text));
            assert_int_equal(text_characters(text), len);
            room[at] = '$';
            assert_true(text_holds(text, "$"));
            assert_int_equal(text_holds(text, "$a"), at + 1 < len);
            assert_int_equal(text_holds(text, "a$"), at > 0);
            room[at] = '\t';
            assert_true(text_field_check(text) && !text_plain_check(text));
            room[at] = '\n';
            assert_false(text_field_check(text) || text_plain_check(text));
            room[at] = 0x7F;
            assert_false(text_field_check(text) || text_plain_check(text));
            room[at] = (char)0xC3;
            assert_false(text_utf8_check(text) || text_plain_check(text));
            assert_true(text_field_check(text));
            if (at + 1 < len) {
                room[at + 1] = (char)0xB6;
                assert_true(text_utf8_check(text));
                assert_int_equal(text_characters(text), len - 1);
            }
            mem_free(room);
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(cuts_into_parts),
        cmocka_unit_test(reads_integers),
        cmocka_unit_test(checks_utf8),
        cmocka_unit_test(checks_every_place),
        cmocka_unit_test(writes_characters),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(measures_distance),
        cmocka_unit_test(finds_the_nearest_name),
        cmocka_unit_test(buffer_grows_to_its_ceiling),
        cmocka_unit_test(full_buffer_takes_nothing_more),
        cmocka_unit_test(buffer_is_filled_in_place_and_taken),
        cmocka_unit_test(writes_json_strings),
        cmocka_unit_test(escapes_at_every_offset),
        cmocka_unit_test(writes_integers),
        cmocka_unit_test(writes_hex),
        cmocka_unit_test(writes_and_reads_base64),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
