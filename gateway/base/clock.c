/* Readings of the system's clocks, and their text form.
 *
 * Loops read the clock once a pass (base/loop) and hand the time down; only threads of their own call this directly. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define DAY_S (24 * 60 * 60)
#define DAY_TEXT_LEN (sizeof "2026-11-23" - 1)
#define SECOND_TEXT_LEN (sizeof "2026-11-23T06:47:00" - 1)
#define YEAR_0_MS (-62167219200000)
#define YEAR_9999_END_MS 253402300799999

static int64_t read_ms(clockid_t id) {
    struct timespec at;
    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void) {
    return read_ms(CLOCK_REALTIME);
}

int64_t clock_mono_ms(void) {
    return read_ms(CLOCK_MONOTONIC);
}

static void put(char *out, size_t count, int value) {
    for (; count-- > 0; value /= 10) out[count] = (char)('0' + value % 10);
}

/* The calendar is asked once a day, as long as times are of the same one. */
static void put_day(char *out, int64_t day) {
    static _Thread_local int64_t known_day = INT64_MIN;
    static _Thread_local char known[DAY_TEXT_LEN];
    if (day != known_day) {
        time_t when = (time_t)(day * DAY_S);
        struct tm parts;
        gmtime_r(&when, &parts); /* cannot fail within these years */
        memcpy(known, "0000-00-00", sizeof known);
        put(known, 4, parts.tm_year + 1900);
        put(known + 5, 2, parts.tm_mon + 1);
        put(known + 8, 2, parts.tm_mday);
        known_day = day;
    }
    memcpy(out, known, sizeof known);
}

/* Most times that are written are of the second before. */
static void put_second(char *out, int64_t second) {
    static _Thread_local int64_t known_second = INT64_MIN;
    static _Thread_local char known[SECOND_TEXT_LEN];
    if (second != known_second) {
        int64_t day = second / DAY_S;
        int left = (int)(second % DAY_S);
        if (left < 0) left += DAY_S, day--;
        memcpy(known + DAY_TEXT_LEN, "T00:00:00", SECOND_TEXT_LEN - DAY_TEXT_LEN);
        put_day(known, day);
        put(known + 11, 2, left / 3600);
        put(known + 14, 2, left / 60 % 60);
        put(known + 17, 2, left % 60);
        known_second = second;
    }
    memcpy(out, known, sizeof known);
}

void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]) {
    if (wall_ms < YEAR_0_MS) wall_ms = YEAR_0_MS;
    if (wall_ms > YEAR_9999_END_MS) wall_ms = YEAR_9999_END_MS;
    int64_t second = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) ms += 1000, second--;
    put_second(out, second);
    memcpy(out + SECOND_TEXT_LEN, ".000Z", sizeof ".000Z");
    put(out + SECOND_TEXT_LEN + 1, 3, (int)ms);
}

static bool digits(struct text *t, size_t count, int *ret_value) {
    if (t->len < count) return false;
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (t->at[i] < '0' || t->at[i] > '9') return false;
        value = value * 10 + (t->at[i] - '0');
    }
    t->at += count, t->len -= count;
    *ret_value = value;
    return true;
}

static bool literal(struct text *t, const char *any_of) {
    if (t->len == 0 || !strchr(any_of, t->at[0]) || !t->at[0]) return false;
    t->at++, t->len--;
    return true;
}

static bool fraction(struct text *t, int *ret_ms) {
    int ms = 0, scale = 100, seen = 0;
    for (; t->len && t->at[0] >= '0' && t->at[0] <= '9'; t->at++, t->len--, seen++) {
        ms += (t->at[0] - '0') * scale;
        scale /= 10;
    }
    *ret_ms = ms;
    return seen > 0;
}

static bool offset(struct text *t, int *ret_minutes) {
    *ret_minutes = 0;
    if (literal(t, "Zz")) return true;
    int sign = t->len && t->at[0] == '-' ? -1 : 1, hours, minutes;
    if (!literal(t, "+-") || !digits(t, 2, &hours) || !literal(t, ":") || !digits(t, 2, &minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

static int days_in(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool clock_parse(struct text t, int64_t *ret_wall_ms) {
    struct tm parts = {0};
    int year, month, ms = 0, minutes;
    if (!digits(&t, 4, &year) || !literal(&t, "-") || !digits(&t, 2, &month) || !literal(&t, "-") ||
        !digits(&t, 2, &parts.tm_mday) || !literal(&t, "Tt ") || !digits(&t, 2, &parts.tm_hour) || !literal(&t, ":") ||
        !digits(&t, 2, &parts.tm_min) || !literal(&t, ":") || !digits(&t, 2, &parts.tm_sec))
        return false;
    if (literal(&t, ".") && !fraction(&t, &ms)) return false;
    if (!offset(&t, &minutes) || t.len) return false;
    if (month < 1 || month > 12 || parts.tm_mday < 1 || parts.tm_mday > days_in(year, month) || parts.tm_hour > 23 ||
        parts.tm_min > 59 || parts.tm_sec > 60)
        return false;
    parts.tm_year = year - 1900, parts.tm_mon = month - 1;
    *ret_wall_ms = ((int64_t)timegm(&parts) - (int64_t)minutes * 60) * 1000 + ms;
    return true;
}
