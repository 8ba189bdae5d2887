/* What is shown: cleaning, cutting, and the bar's line at any width. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/screen.h"

static struct screen plain, wide;

static int setup(void **state) {
    (void)state;
    screen_init(&plain, stdout);
    wide = plain;
    plain.utf8 = false;
    wide.utf8 = true;
    return 0;
}

static void cleans(void **state) {
    (void)state;
    static const struct {
        const char *in, *utf8, *ascii;
    } rows[] = {
        {"plain", "plain", "plain"},
        {"a\nb\tc\rd", "a b c d", "a b c d"},
        {"\033[31mred\a\x7f", "?[31mred??", "?[31mred??"},
        {"\xC2\x9B"
         "1m",
         "?1m", "?1m"},           /* U+009B, a CSI of one character */
        {"\x9b\xff", "??", "??"}, /* no UTF-8 */
        {"\xE2\x80\xAE"
         "abc",
         "?abc", "?abc"},                                 /* U+202E, right-to-left override */
        {"\xE2\x80\xA8", " ", " "},                       /* U+2028, line separator */
        {"l\xC3\xA4uft", "l\xC3\xA4uft", "l?uft"},        /* ä */
        {"\xF0\x9F\x9A\x80!", "\xF0\x9F\x9A\x80!", "?!"}, /* a rocket */
        {"\xC3", "?", "?"},                               /* cut in a character */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 1024);
        screen_clean(&out, &wide, text_of(rows[i].in));
        assert_string_equal(buf_cstr(&out), rows[i].utf8);
        buf_clear(&out);
        screen_clean(&out, &plain, text_of(rows[i].in));
        assert_string_equal(buf_cstr(&out), rows[i].ascii);
        buf_fini(&out);
    }
    struct buf out;
    buf_init(&out, 16);
    screen_clean(&out, &wide, TEXT("a\0b"));
    assert_string_equal(buf_cstr(&out), "a?b");
    buf_fini(&out);
}

static void fits(void **state) {
    (void)state;
    static const struct {
        const char *in;
        size_t columns;
        const char *utf8, *ascii;
    } rows[] = {
        {"abcdef", 6, "abcdef", "abcdef"},
        {"abcdef", 5, "abcd…", "ab..."},
        {"abcdef", 1, "…", ""},
        {"abcdef", 0, "", ""},
        {"", 0, "", ""},
        {"漢字漢字", 8, "漢字漢字", "漢字漢字"},
        {"漢字漢字", 7, "漢字漢…", "漢字..."},
        {"漢字漢字", 6, "漢字…", "漢..."}, /* half a character does not fit */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 1024);
        screen_fit(&out, &wide, text_of(rows[i].in), rows[i].columns);
        assert_string_equal(buf_cstr(&out), rows[i].utf8);
        buf_clear(&out);
        screen_fit(&out, &plain, text_of(rows[i].in), rows[i].columns);
        assert_string_equal(buf_cstr(&out), rows[i].ascii);
        buf_fini(&out);
    }
}

static void draws_bars(void **state) {
    (void)state;
    static const struct {
        size_t width;
        struct screen_bar bar;
        const char *want;
    } rows[] = {
        {60, {"load-test", "polling", 50, 5000, 0}, "load-test [########--------]  50 % 5s  polling"},
        {60, {"load-test", "polling", 0, 65000, 0}, "load-test [----------------]   0 % 1m05s  polling"},
        {60, {"load-test", "", 100, 7260000, 0}, "load-test [################] 100 % 2h01m"},
        {60, {"load-test", "over the top", 250, 0, 0}, "load-test [################] 100 % 0s  over the top"},
        {60, {"load-test", "polling", -1, 5000, 1}, "load-test / 5s  polling"},
        {20, {"load-test", "polling", 50, 5000, 0}, "50 % 5s  polling"},
        {8, {"load-test", "polling", 50, 5000, 0}, "50 % ..."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 1024);
        screen_bar_line(&out, &plain, rows[i].width, &rows[i].bar);
        assert_string_equal(buf_cstr(&out), rows[i].want);
        buf_fini(&out);
    }
}

static void bars_never_exceed_the_width(void **state) {
    (void)state;
    for (size_t width = 0; width <= 130; width++)
        for (int percent = -1; percent <= 100; percent++) {
            struct buf out;
            buf_init(&out, 4096);
            struct screen_bar bar = {"ein-läufer", "polling: 漢字漢字 and more and more and more", percent, 3599000, 3};
            screen_bar_line(&out, percent % 2 ? &wide : &plain, width, &bar);
            assert_true(screen_columns(buf_text(&out)) <= width);
            assert_false(out.full);
            buf_fini(&out);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cleans), cmocka_unit_test(fits), cmocka_unit_test(draws_bars),
                                       cmocka_unit_test(bars_never_exceed_the_width)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
