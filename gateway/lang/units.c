/* Durations, sizes, rates and code sets: the notations that definitions and options use for numbers with a meaning.
 *
 * Readers are strict, since a slip here means an hour in place of a minute: no spaces inside, every number has its
 * unit, no unit twice. Arithmetic is in integers, so that what is read is what was written. Writers give what the
 * readers take. */
#include "lang/units.h"

#include <stddef.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t worth;
};

/* A decimal number, its fraction apart: value = whole + fraction / scale. */
struct decimal {
    int64_t whole, fraction, scale;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Takes digits off the front of `t`; false without any, or when there are more than fit. */
static bool take_digits(struct text *t, size_t max_digits, int64_t *ret_value, int64_t *ret_scale) {
    size_t n = 0;
    while (n < t->len && is_digit(t->at[n])) n++;
    if (n == 0 || n > max_digits) return false;
    int64_t value = 0, scale = 1;
    for (size_t i = 0; i < n; i++) value = value * 10 + (t->at[i] - '0'), scale *= 10;
    *t = (struct text){t->at + n, t->len - n};
    *ret_value = value;
    *ret_scale = scale;
    return true;
}

static bool take_decimal(struct text *t, struct decimal *ret) {
    int64_t ignored;
    *ret = (struct decimal){.scale = 1};
    if (!take_digits(t, 15, &ret->whole, &ignored)) return false;
    if (t->len == 0 || t->at[0] != '.') return true;
    *t = (struct text){t->at + 1, t->len - 1};
    return take_digits(t, 6, &ret->fraction, &ret->scale);
}

static const struct unit *take_unit(struct text *t, const struct unit *units, size_t count) {
    size_t n = 0;
    while (n < t->len && !is_digit(t->at[n])) n++;
    struct text name = {t->at, n};
    for (size_t i = 0; i < count; i++) {
        if (!text_is(name, units[i].name)) continue;
        *t = (struct text){t->at + n, t->len - n};
        return &units[i];
    }
    return NULL;
}

/* ---- durations ---- */

#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define DURATION_MAX (3650 * DAY)

static const struct unit durations[] = {{"w", 7 * DAY}, {"d", DAY},    {"h", HOUR},
                                        {"m", MINUTE},  {"s", SECOND}, {"ms", 1}};
#define DURATIONS (sizeof durations / sizeof *durations)

static bool duration_fault(struct text t, struct fault *fault) {
    return fault_set(fault, FAULT_INVALID, NULL,
                     "\"%.*s\" is not a duration: write a number and its unit, such as \"500ms\", \"5s\", \"2h30m\" "
                     "(units ms, s, m, h, d, w, the larger first)",
                     TEXT_ARG(t));
}

bool duration_parse(struct text t, int64_t *ret_ms, struct fault *fault) {
    struct text rest = t;
    const struct unit *last = NULL;
    int64_t total = 0;
    if (text_is(t, "0")) return *ret_ms = 0, true;
    do {
        struct decimal number;
        int64_t ms, part;
        if (!take_decimal(&rest, &number)) return duration_fault(t, fault);
        const struct unit *unit = take_unit(&rest, durations, DURATIONS);
        if (!unit || (last && unit <= last)) return duration_fault(t, fault);
        if (number.fraction * unit->worth % number.scale != 0)
            return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is finer than a millisecond", TEXT_ARG(t));
        part = number.fraction * unit->worth / number.scale;
        if (__builtin_mul_overflow(number.whole, unit->worth, &ms) || ms > DURATION_MAX ||
            (total += ms + part) > DURATION_MAX)
            return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is longer than 10 years (3650d)", TEXT_ARG(t));
        last = unit;
    } while (rest.len);
    *ret_ms = total;
    return true;
}

void duration_write(struct buf *out, int64_t ms) {
    if (ms <= 0) {
        buf_adds(out, "0s");
        return;
    }
    for (size_t i = 1; i < DURATIONS; i++) { /* without weeks: "30d" is what people write */
        if (ms >= durations[i].worth) buf_addf(out, "%lld%s", (long long)(ms / durations[i].worth), durations[i].name);
        ms %= durations[i].worth;
    }
}

/* ---- sizes ---- */

#define SIZE_MAX_BYTES (1LL << 40)

/* In falling order: the writer takes the first that divides. */
static const struct unit sizes[] = {
    {"TiB", 1LL << 40}, {"TB", 1000000000000}, {"GiB", 1LL << 30}, {"GB", 1000000000}, {"MiB", 1LL << 20},
    {"MB", 1000000},    {"KiB", 1LL << 10},    {"kB", 1000},       {"B", 1},           {"", 1}};
#define SIZES (sizeof sizes / sizeof *sizes)

bool size_parse(struct text t, int64_t *ret_bytes, struct fault *fault) {
    struct text rest = t;
    int64_t number, scale, bytes;
    const struct unit *unit = NULL;
    if (take_digits(&rest, 15, &number, &scale)) unit = take_unit(&rest, sizes, SIZES);
    if (!unit || rest.len)
        return fault_set(fault, FAULT_INVALID, NULL,
                         "\"%.*s\" is not a size: write \"64KiB\", \"1MiB\", \"10kB\" or a number of bytes",
                         TEXT_ARG(t));
    if (__builtin_mul_overflow(number, unit->worth, &bytes) || bytes > SIZE_MAX_BYTES)
        return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is more than 1TiB", TEXT_ARG(t));
    *ret_bytes = bytes;
    return true;
}

void size_write(struct buf *out, int64_t bytes) {
    size_t i = SIZES - 1; /* plain, also for 0 */
    if (bytes > 0)
        for (i = 0; bytes % sizes[i].worth; i++) {}
    if (sizes[i].worth == 1) buf_addf(out, "%lld", (long long)bytes);
    else buf_addf(out, "%lld%s", (long long)(bytes / sizes[i].worth), sizes[i].name);
}

/* ---- rates ---- */

bool rate_parse(struct text t, double *ret_per_second, struct fault *fault) {
    static const struct unit spans[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}};
    struct text rest = t;
    struct decimal number;
    const struct unit *span = NULL;
    if (take_decimal(&rest, &number)) span = take_unit(&rest, spans, sizeof spans / sizeof *spans);
    if (!span || rest.len)
        return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is not a rate: write \"5/s\", \"30/m\" or \"100/h\"",
                         TEXT_ARG(t));
    double times = (double)number.whole + (double)number.fraction / (double)number.scale;
    if (times <= 0 || times > 1e9)
        return fault_set(fault, FAULT_INVALID, NULL, "a rate is more than 0 and at most 1000000000, not \"%.*s\"",
                         TEXT_ARG(t));
    *ret_per_second = times / (double)span->worth;
    return true;
}

/* ---- code sets ---- */

enum { CODE_FIRST = 100, CODE_LAST = 599 };

static void add_codes(struct code_set *set, int first, int last) {
    for (int code = first; code <= last; code++)
        set->bits[(code - CODE_FIRST) / 64] |= UINT64_C(1) << ((code - CODE_FIRST) % 64);
}

static bool read_code(const char *at, int *ret_code) {
    if (!is_digit(at[0]) || !is_digit(at[1]) || !is_digit(at[2])) return false;
    *ret_code = (at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0');
    return *ret_code >= CODE_FIRST && *ret_code <= CODE_LAST;
}

static bool read_codes(struct text t, int *ret_first, int *ret_last) {
    if (t.len == 3 && t.at[0] >= '1' && t.at[0] <= '5' && t.at[1] == 'x' && t.at[2] == 'x') {
        *ret_first = (t.at[0] - '0') * 100;
        *ret_last = *ret_first + 99;
        return true;
    }
    if (t.len == 3) return read_code(t.at, ret_first) && (*ret_last = *ret_first, true);
    return t.len == 7 && t.at[3] == '-' && read_code(t.at, ret_first) && read_code(t.at + 4, ret_last) &&
           *ret_first <= *ret_last;
}

bool code_set_parse(struct text t, struct code_set *ret_set, struct fault *fault) {
    struct code_set set = {0};
    struct text rest = {t.at ? t.at : "", t.len}, part;
    while (text_cut(&rest, ',', &part)) {
        int first, last;
        part = text_trim(part);
        if (!read_codes(part, &first, &last))
            return fault_set(fault, FAULT_INVALID, NULL,
                             "\"%.*s\" is not a set of status codes: write \"200\", \"2xx\", \"200-299\" or several "
                             "with commas (100 to 599)",
                             TEXT_ARG(t));
        add_codes(&set, first, last);
    }
    *ret_set = set;
    return true;
}

bool code_set_holds(const struct code_set *set, int code) {
    if (code < CODE_FIRST || code > CODE_LAST) return false;
    return set->bits[(code - CODE_FIRST) / 64] >> ((code - CODE_FIRST) % 64) & 1;
}

static int run_end(const struct code_set *set, int code) {
    while (code_set_holds(set, code + 1)) code++;
    return code;
}

static bool holds_hundred(const struct code_set *set, int code) {
    return code % 100 == 0 && run_end(set, code) >= code + 99;
}

void code_set_write(struct buf *out, const struct code_set *set) {
    const char *separator = "";
    for (int code = CODE_FIRST; code <= CODE_LAST; code++) {
        if (!code_set_holds(set, code)) continue;
        int last = code;
        if (holds_hundred(set, code)) {
            last = code + 99;
            buf_addf(out, "%s%dxx", separator, code / 100);
        } else {
            while (code_set_holds(set, last + 1) && !holds_hundred(set, last + 1)) last++;
            if (last == code) buf_addf(out, "%s%d", separator, code);
            else buf_addf(out, "%s%d-%d", separator, code, last);
        }
        separator = ",";
        code = last;
    }
}
