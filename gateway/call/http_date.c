/* Dates as headers write them: three forms, of which two are history that some servers still live in.
 *
 * Each form is tried as a pattern over the whole text: letters for what a field is, anything else for itself. What the
 * fields give is put into RFC 3339, so that there is one place that knows months, leap years and seconds. Pure; who
 * wants to know how far away a date is brings the present time along. */
#include "call/http_date.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define CENTURY_MS (100LL * 365 * 24 * 60 * 60 * 1000)

struct fields {
    int day, month, year, hour, minute, second;
    bool short_year;
};

static bool take_digits(struct text *t, size_t count, int *ret) {
    if (t->len < count) return false;
    *ret = 0;
    for (size_t i = 0; i < count; i++) {
        if (t->at[i] < '0' || t->at[i] > '9') return false;
        *ret = *ret * 10 + (t->at[i] - '0');
    }
    *t = (struct text){t->at + count, t->len - count};
    return true;
}

static bool take_name(struct text *t, const char *const *names, size_t count, int *ret) {
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (t->len < len || memcmp(t->at, names[i], len) != 0) continue;
        *ret = (int)i;
        *t = (struct text){t->at + len, t->len - len};
        return true;
    }
    return false;
}

static bool take_field(struct text *t, char field, struct fields *to) {
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char *const whole_days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                             "Friday", "Saturday", "Sunday"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int day;
    switch (field) {
    case 'a': return take_name(t, days, 7, &day);
    case 'A': return take_name(t, whole_days, 7, &day);
    case 'b': return take_name(t, months, 12, &to->month);
    case 'd': return take_digits(t, 2, &to->day);
    case 'e': /* one digit, with a space before it */
        if (t->len && t->at[0] == ' ') *t = (struct text){t->at + 1, t->len - 1};
        else return take_digits(t, 2, &to->day);
        return take_digits(t, 1, &to->day);
    case 'Y': return take_digits(t, 4, &to->year);
    case 'y': return to->short_year = true, take_digits(t, 2, &to->year);
    case 'H': return take_digits(t, 2, &to->hour);
    case 'M': return take_digits(t, 2, &to->minute);
    case 'S': return take_digits(t, 2, &to->second);
    default: return false;
    }
}

static bool fits(struct text t, const char *pattern, struct fields *to) {
    *to = (struct fields){0};
    for (; *pattern; pattern++) {
        bool field = *pattern == '%';
        if (field && !take_field(&t, *++pattern, to)) return false;
        if (field) continue;
        if (t.len == 0 || t.at[0] != *pattern) return false;
        t = (struct text){t.at + 1, t.len - 1};
    }
    return t.len == 0;
}

static bool wall_of(const struct fields *f, int year, int64_t *ret_wall_ms) {
    char text[64];
    int second = f->second == 60 ? 59 : f->second; /* a leap second */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, f->month + 1, f->day, f->hour, f->minute,
             second);
    return clock_parse(text_of(text), ret_wall_ms);
}

bool http_date_parse(struct text t, int64_t now_ms, int64_t *ret_wall_ms) {
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    struct fields f;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!fits(t, forms[i], &f)) continue;
        if (!f.short_year) return wall_of(&f, f.year, ret_wall_ms);
        if (!wall_of(&f, 2000 + f.year, ret_wall_ms)) return false;
        return *ret_wall_ms - now_ms <= CENTURY_MS / 2 || wall_of(&f, 1900 + f.year, ret_wall_ms);
    }
    return false;
}
