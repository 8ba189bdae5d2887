/* base/clock: RFC 3339 both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static const struct {
    const char *text;
    int64_t wall_ms;
    const char *shown; /* NULL: as `text` */
} good[] = {
    {"1970-01-01T00:00:00.000Z", 0, NULL},
    {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000Z"},
    {"1969-12-31T23:59:59.999Z", -1, NULL},
    {"2026-11-23T06:47:00.123Z", 1795416420123, NULL},
    {"2026-11-23t06:47:00.123z", 1795416420123, "2026-11-23T06:47:00.123Z"},
    {"2026-11-23 06:47:00.1239Z", 1795416420123, "2026-11-23T06:47:00.123Z"},
    {"2026-11-23T08:17:00.123+01:30", 1795416420123, "2026-11-23T06:47:00.123Z"},
    {"2026-11-22T22:47:00.5-08:00", 1795416420500, "2026-11-23T06:47:00.500Z"},
    {"2024-02-29T00:00:00.000Z", 1709164800000, NULL},
    {"2000-02-29T00:00:00.000Z", 951782400000, NULL},
    {"0000-01-01T00:00:00.000Z", -62167219200000, NULL},
    {"9999-12-31T23:59:59.999Z", 253402300799999, NULL},
    {"2016-12-31T23:59:60Z", 1483228800000, "2017-01-01T00:00:00.000Z"},
};

static void reads_and_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t wall_ms = 0;
        char shown[CLOCK_TEXT_SIZE];
        assert_true(clock_parse(text_of(good[i].text), &wall_ms));
        assert_int_equal(wall_ms, good[i].wall_ms);
        clock_format(wall_ms, shown);
        assert_string_equal(shown, good[i].shown ? good[i].shown : good[i].text);
    }
}

/* The second that was written last is remembered. */
static void writes_by_turns(void **state) {
    (void)state;
    const size_t count = sizeof good / sizeof *good;
    for (size_t i = 0; i < count * count; i++) {
        char shown[CLOCK_TEXT_SIZE];
        const size_t k = i % 2 ? i % count : i / count;
        clock_format(good[k].wall_ms, shown);
        assert_string_equal(shown, good[k].shown ? good[k].shown : good[k].text);
        clock_format(good[k].wall_ms, shown);
        assert_string_equal(shown, good[k].shown ? good[k].shown : good[k].text);
    }
}

static void refuses_what_is_no_time(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T06:47:00",
        "2026-11-23T06:47Z",
        "2026-11-23T06:47:00.Z",
        "2026-11-23T06:47:00Zx",
        "2026-11-23T06:47:00+0100",
        "2026-11-23T06:47:00+24:00",
        "2026-11-23T06:47:00+01:60",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "+026-01-01T00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t wall_ms = 42;
        assert_false(clock_parse(text_of(bad[i]), &wall_ms));
        assert_int_equal(wall_ms, 42);
    }
    int64_t wall_ms;
    assert_false(clock_parse(TEXT("2026-01-01\0"
                                  "00:00:00Z"),
                             &wall_ms));
}

/* What four digits of a year cannot show is shown as the nearest time that they can. */
static void shows_the_nearest_outside_its_range(void **state) {
    (void)state;
    static const int64_t before[] = {-62167219200001, INT64_MIN}, after[] = {253402300800000, INT64_MAX};
    char shown[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < 2; i++) {
        clock_format(before[i], shown);
        assert_string_equal(shown, "0000-01-01T00:00:00.000Z");
        clock_format(after[i], shown);
        assert_string_equal(shown, "9999-12-31T23:59:59.999Z");
    }
}

static void monotonic_time_never_goes_back(void **state) {
    (void)state;
    int64_t last = clock_mono_ms();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ms();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(writes_by_turns),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(shows_the_nearest_outside_its_range),
        cmocka_unit_test(monotonic_time_never_goes_back),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
