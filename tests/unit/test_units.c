/* Units: what is read, what is refused, and that everything written reads back as the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lang/units.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { BAD = -1 };

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *source;
        int64_t ms;
        const char *written;
    } cases[] = {
        {"0", 0, "0s"},
        {"0s", 0, "0s"},
        {"500ms", 500, "500ms"},
        {"5s", 5000, "5s"},
        {"1.5h", 5400000, "1h30m"},
        {"2h30m", 9000000, "2h30m"},
        {"1m0.5s", 60500, "1m500ms"},
        {"30d", 2592000000, "30d"},
        {"1w", 604800000, "7d"},
        {"3650d", 315360000000, "3650d"},
        {"", BAD, "not a duration"},
        {"5", BAD, "not a duration"},
        {"5 s", BAD, "not a duration"},
        {"-5s", BAD, "not a duration"},
        {"s", BAD, "not a duration"},
        {"5S", BAD, "not a duration"},
        {"5sec", BAD, "not a duration"},
        {"30m2h", BAD, "not a duration"},
        {"1s1s", BAD, "not a duration"},
        {"1.s", BAD, "not a duration"},
        {".5s", BAD, "not a duration"},
        {"1e3s", BAD, "not a duration"},
        {"1.5ms", BAD, "finer than a millisecond"},
        {"0.0001s", BAD, "finer than a millisecond"},
        {"3651d", BAD, "10 years"},
        {"3650d1ms", BAD, "10 years"},
        {"999999999999999w", BAD, "10 years"},
        {"9999999999999999s", BAD, "not a duration"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        int64_t ms = BAD;
        bool good = duration_parse(text_of(cases[i].source), &ms, &fault);
        if (ms != cases[i].ms) fail_msg("%s: %lld", cases[i].source, (long long)ms);
        assert_int_equal(good, cases[i].ms != BAD);
        struct buf out;
        buf_init(&out, 100);
        if (good) duration_write(&out, ms), assert_string_equal(buf_cstr(&out), cases[i].written);
        else assert_non_null(strstr(fault.what, cases[i].written));
        buf_fini(&out);
    }
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *source;
        int64_t bytes;
        const char *written;
    } cases[] = {
        {"0", 0, "0"},
        {"64KiB", 65536, "64KiB"},
        {"1MiB", 1048576, "1MiB"},
        {"2GiB", 2147483648, "2GiB"},
        {"1000", 1000, "1kB"},
        {"1001", 1001, "1001"},
        {"10kB", 10000, "10kB"},
        {"12B", 12, "12"},
        {"1TiB", 1099511627776, "1TiB"},
        {"1TB", 1000000000000, "1TB"},
        {"2TiB", BAD, "1TiB"},
        {"999999999999999TiB", BAD, "1TiB"},
        {"", BAD, "not a size"},
        {"1 MiB", BAD, "not a size"},
        {"1.5MiB", BAD, "not a size"},
        {"-1", BAD, "not a size"},
        {"10KB", BAD, "not a size"},
        {"1M", BAD, "not a size"},
        {"MiB", BAD, "not a size"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        int64_t bytes = BAD;
        struct buf out;
        buf_init(&out, 100);
        bool good = size_parse(text_of(cases[i].source), &bytes, &fault);
        if (bytes != cases[i].bytes || good != (bytes != BAD)) fail_msg("%s: %lld", cases[i].source, (long long)bytes);
        if (good) size_write(&out, bytes), assert_string_equal(buf_cstr(&out), cases[i].written);
        else assert_non_null(strstr(fault.what, cases[i].written));
        buf_fini(&out);
    }
}

static void rates(void **state) {
    (void)state;
    static const struct {
        const char *source;
        double per_second; /* 0: refused */
    } cases[] = {
        {"5/s", 5}, {"30/m", 0.5}, {"1800/h", 0.5}, {"0.5/s", 0.5}, {"", 0},   {"0/s", 0},  {"5", 0},
        {"5/d", 0}, {"5 / s", 0},  {"-5/s", 0},     {"5/s/s", 0},   {"/s", 0}, {"5/sx", 0}, {"10000000000/s", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        double rate = 0;
        bool good = rate_parse(text_of(cases[i].source), &rate, &fault);
        if (good != (cases[i].per_second > 0) || rate < cases[i].per_second || rate > cases[i].per_second)
            fail_msg("%s: %g", cases[i].source, rate);
    }
}

static void code_sets(void **state) {
    (void)state;
    static const struct {
        const char *source, *written; /* NULL: refused */
        int in, out;
    } cases[] = {
        {"200", "200", 200, 201},
        {"2xx,304,409", "2xx,304,409", 299, 300},
        {"200-299", "2xx", 250, 199},
        {" 404 , 200-204 ", "200-204,404", 204, 205},
        {"150-320", "150-199,2xx,300-320", 320, 321},
        {"5xx", "5xx", 599, 600},
        {"1xx,2xx", "1xx,2xx", 100, 99},
        {"", NULL, 0, 0},
        {"2xx,", NULL, 0, 0},
        {"20", NULL, 0, 0},
        {"099", NULL, 0, 0},
        {"600", NULL, 0, 0},
        {"6xx", NULL, 0, 0},
        {"2XX", NULL, 0, 0},
        {"20x", NULL, 0, 0},
        {"300-200", NULL, 0, 0},
        {"200-", NULL, 0, 0},
        {"-5,200", NULL, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        struct code_set set = {0}, again;
        struct buf out;
        buf_init(&out, 100);
        bool good = code_set_parse(text_of(cases[i].source), &set, &fault);
        if (good != !!cases[i].written) fail_msg("%s", cases[i].source);
        if (good) {
            code_set_write(&out, &set);
            assert_string_equal(buf_cstr(&out), cases[i].written);
            assert_true(code_set_parse(buf_text(&out), &again, &fault));
            assert_memory_equal(&set, &again, sizeof set);
            assert_true(code_set_holds(&set, cases[i].in));
            assert_false(code_set_holds(&set, cases[i].out));
        }
        buf_fini(&out);
    }
}

static uint64_t draw(uint64_t *seed) {
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return *seed;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u;
    struct buf out;
    buf_init(&out, 4096);
    for (int i = 0; i < 20000; i++) {
        int64_t value = (int64_t)(draw(&seed) >> (24 + draw(&seed) % 39)), again = -1;
        if (value > 315360000000) value %= 315360000000;
        buf_clear(&out);
        duration_write(&out, value);
        assert_true(duration_parse(buf_text(&out), &again, NULL));
        assert_int_equal(again, value);
        buf_clear(&out);
        size_write(&out, value);
        assert_true(size_parse(buf_text(&out), &again, NULL));
        assert_int_equal(again, value);
    }
    for (int i = 0; i < 500; i++) {
        struct code_set set = {{0}}, again;
        for (int j = 0; j < 8; j++) set.bits[j] = draw(&seed) & draw(&seed);
        set.bits[i % 7] = UINT64_MAX;
        set.bits[7] &= (UINT64_C(1) << 52) - 1; /* 500 codes */
        buf_clear(&out);
        code_set_write(&out, &set);
        assert_true(code_set_parse(buf_text(&out), &again, NULL));
        assert_memory_equal(&set, &again, sizeof set);
    }
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(rates),
        cmocka_unit_test(code_sets),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
