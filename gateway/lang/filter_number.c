/* Filters to and of numbers, truth, time.
 *
 * int and float give what Jinja's give, their default for what is no number included. round is exact, as Python's: to
 * even, of the number as it is stored. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "lang/filter_each.h"
#include "lang/units.h"

static struct text stripped(struct text t) {
    size_t len;
    while (t.len && filter_is_space(t, 0, &len)) t.at += len, t.len -= len;
    while (t.len && (t.at[t.len - 1] == ' ' || (t.at[t.len - 1] >= 9 && t.at[t.len - 1] <= 13))) t.len--;
    return t;
}

/* Decimal digits with a sign, a point and an exponent; nothing else that strtod() takes. */
static bool read_real(struct text t, double *ret) {
    char copy[400], *end;
    t = stripped(t);
    if (t.len == 0 || t.len >= sizeof copy) return false;
    for (size_t i = 0; i < t.len; i++)
        if (!strchr("0123456789+-.eE", t.at[i])) return false;
    memcpy(copy, t.at, t.len);
    copy[t.len] = 0;
    *ret = strtod(copy, &end);
    return *end == 0 && isfinite(*ret);
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

/* Python's int(text, base), without underscores. *ret_wide: it is one, but beyond 64 bits. */
static bool read_int(struct text t, int64_t base, int64_t *ret, bool *ret_wide) {
    t = stripped(t);
    bool minus = t.len && t.at[0] == '-';
    if (t.len && (minus || t.at[0] == '+')) t.at++, t.len--;
    char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    if (prefix && t.len > 2 && t.at[0] == '0' && (t.at[1] | 32) == prefix) t.at += 2, t.len -= 2;
    if (t.len == 0) return false;
    *ret = 0;
    for (size_t i = 0; i < t.len; i++)
        if (digit_value(t.at[i]) >= base) return false;
    for (size_t i = 0; i < t.len && !*ret_wide; i++) {
        int64_t digit = digit_value(t.at[i]);
        *ret_wide = __builtin_mul_overflow(*ret, base, ret) ||
                    __builtin_add_overflow(*ret, minus ? -digit : digit, ret);
    }
    return true;
}

static bool int_of_real(const struct filter_call *call, double real, struct value *ret) {
    if (!(fabs(real) < 0x1p63)) return filter_fault(call, FAULT_INVALID, "the number is too large for an integer");
    *ret = value_int((int64_t)real);
    return true;
}

FILTER_APPLY(int) {
    int64_t otherwise, base, number;
    double real;
    bool wide = false;
    if (!filter_int_argument(call, 0, 0, &otherwise) || !filter_int_argument(call, 1, 10, &base)) return false;
    if (base < 2 || base > 36) return filter_fault(call, FAULT_INVALID, "its base is 2 to 36");
    *ret = value_int(otherwise);
    switch (value.kind) {
    case JSON_INT: *ret = value; return true;
    case JSON_BOOL: *ret = value_int(value.truth); return true;
    case JSON_REAL: return int_of_real(call, value.real, ret);
    case JSON_STRING:
        if (read_int(value.text, base, &number, &wide)) {
            if (wide) return filter_fault(call, FAULT_INVALID, "the number is too large for an integer");
            *ret = value_int(number);
        } else if (read_real(value.text, &real)) {
            return int_of_real(call, real, ret);
        }
        return true;
    default: return true;
    }
}

FILTER_APPLY(float) {
    const struct value *otherwise = call->arguments[0];
    double real;
    if (otherwise && !value_is_number(*otherwise)) return filter_fault(call, FAULT_INVALID, "its default is a number");
    *ret = otherwise ? *otherwise : value_real(0);
    if (value_is_number(value)) *ret = value_real(value_number(value));
    else if (value.kind == JSON_BOOL) *ret = value_real(value.truth);
    else if (value.kind == JSON_STRING && read_real(value.text, &real)) *ret = value_real(real);
    return true;
}

FILTER_APPLY(abs) {
    if (!value_is_number(value)) return filter_wrong_kind(call, value, "a number");
    *ret = value;
    if (value.kind == JSON_REAL) ret->real = fabs(value.real);
    else if (value.integer == INT64_MIN) return filter_fault(call, FAULT_TOO_LARGE, "the number is too large");
    else if (value.integer < 0) ret->integer = -value.integer;
    return true;
}

static double rounded(double real, int64_t digits) {
    char text[400];
    if (digits < 0) {
        double scale = pow(10, (double)-digits);
        return nearbyint(real / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", (int)digits, real);
    return strtod(text, NULL);
}

FILTER_APPLY(round) {
    int64_t digits;
    struct text method;
    if (!value_is_number(value)) return filter_wrong_kind(call, value, "a number");
    if (!filter_int_argument(call, 0, 0, &digits) || !filter_text_argument(call, 1, "common", &method)) return false;
    if (digits < -15 || digits > 15) return filter_fault(call, FAULT_INVALID, "its precision is -15 to 15");
    bool common = text_is(method, "common"), up = text_is(method, "ceil");
    if (!common && !up && !text_is(method, "floor"))
        return filter_fault(call, FAULT_INVALID, "its method is \"common\", \"ceil\" or \"floor\"");
    double real = value_number(value), scale = pow(10, (double)digits);
    if (common && value.kind == JSON_INT && digits >= 0) return *ret = value, true;
    if (common) *ret = value_real(rounded(real, digits));
    else *ret = value_real((up ? ceil(real * scale) : floor(real * scale)) / scale);
    if (common && value.kind == JSON_INT) return int_of_real(call, ret->real, ret);
    return ret->kind == JSON_REAL || filter_fault(call, FAULT_TOO_LARGE, "the number is too large");
}

FILTER_APPLY(bool) {
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};
    char copy[8] = "";
    if (value.kind == JSON_BOOL) return *ret = value, true;
    if (value.kind == JSON_INT && (value.integer == 0 || value.integer == 1))
        return *ret = value_bool(value.integer == 1), true;
    if (value.kind == JSON_STRING && value.text.len < sizeof copy) memcpy(copy, value.text.at, value.text.len);
    for (size_t i = 0; i < 8; i++)
        if (copy[0] && strcasecmp(copy, words[i]) == 0) return *ret = value_bool(i < 4), true;
    return filter_wrong_kind(call, value, "a boolean, 1 or 0, or one of the words true, yes, on, false, no, off");
}

/* ---- time ---- */

static bool read_time(const struct filter_call *call, struct value value, int64_t *ret_ms) {
    if (value.kind == JSON_STRING && clock_parse(value.text, ret_ms)) return true;
    if (!value_is_number(value)) return filter_wrong_kind(call, value, "seconds since 1970, or an RFC 3339 time");
    double seconds = value_number(value);
    if (!(fabs(seconds) <= 253402300799.0)) return filter_fault(call, FAULT_INVALID, "the time is out of range");
    *ret_ms = (int64_t)floor(seconds * 1000);
    return true;
}

static bool format_check(struct text format) {
    for (size_t i = 0; i < format.len; i++) {
        if (format.at[i] != '%') continue;
        if (++i == format.len || !strchr("YmdHMSjyeIpaAbBZzsFTuVG%", format.at[i])) return false;
    }
    return format.len < 200;
}

FILTER_APPLY(format_time) {
    char text[1024], form[204];
    struct text format;
    int64_t ms;
    struct tm parts;
    struct buf out;
    if (!read_time(call, value, &ms) || !filter_text_argument(call, 0, "%Y-%m-%dT%H:%M:%SZ", &format)) return false;
    if (!format_check(format))
        return filter_fault(call, FAULT_INVALID,
                            "its format takes %%Y %%m %%d %%H %%M %%S %%j %%y %%e %%I %%p %%a %%A "
                            "%%b %%B %%Z %%z %%s %%F %%T %%u %%V %%G %%%%");
    snprintf(form, sizeof form, "%.*s|", TEXT_ARG(format)); /* so that 0 means: no room */
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    if (!gmtime_r(&seconds, &parts)) return filter_fault(call, FAULT_INVALID, "the time is out of range");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t len = strftime(text, sizeof text, form, &parts);
#pragma GCC diagnostic pop
    if (len == 0) return filter_fault(call, FAULT_TOO_LARGE, "what it makes is too long");
    expr_made_init(&out);
    buf_add(&out, text, len - 1);
    return filter_made(call, &out, ret);
}

FILTER_APPLY(to_seconds) {
    int64_t ms;
    struct fault why = {0};
    if (value_is_number(value)) return *ret = value, true;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "a duration such as \"5m\"");
    if (!duration_parse(value.text, &ms, &why)) return filter_fault(call, FAULT_INVALID, "%s", why.what);
    *ret = ms % 1000 ? value_real((double)ms / 1000) : value_int(ms / 1000);
    return true;
}
