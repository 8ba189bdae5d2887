/* Bounds on decimal numbers as regular expressions.
 *
 * Callers such as orca send numbers as text, and JSON Schema compares numbers only. So `at most 5000` has to be said
 * of text as a pattern: fewer digits, or the same number of digits and, at the first that differs, a smaller one; and
 * where all digits are the same, no more behind the point. The pattern is nested digit by digit and so as long as the
 * bound. A negative number turns the question round.
 *
 * Used for the schema alone; lang/pattern never sees these, since a value's own check compares numbers. */
#include "stage/decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lang/regexp.h"

bool decimal_write(double bound, char ret_decimal[DECIMAL_ROOM]) {
    bool whole = bound == trunc(bound);
    if (!(fabs(bound) <= (double)DECIMAL_WHOLE_MAX)) return false;
    int places = 0;
    if (!whole) {
        char digits[DECIMAL_ROOM];
        snprintf(digits, sizeof digits, "%.*e", DECIMAL_DIGITS - 1, bound); /* d.dde-NN */
        places = DECIMAL_DIGITS - 1 - (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
        if (places > DECIMAL_DIGITS) places = DECIMAL_DIGITS;
    }
    snprintf(ret_decimal, DECIMAL_ROOM, "%.*f", places, whole ? bound + 0.0 : bound);
    if (strchr(ret_decimal, '.')) {
        size_t len = strlen(ret_decimal);
        while (len && ret_decimal[len - 1] == '0') ret_decimal[--len] = 0;
    }
    if (strcmp(ret_decimal, "-0") == 0) memcpy(ret_decimal, "0", 2);
    return strtod(ret_decimal, NULL) == bound;
}

/* A bound without its sign: digits in front of the point without leading zeros, and behind it without trailing ones. */
struct bound {
    struct text whole, fraction;
    bool negative, zero, fractions;
};

static struct bound read_bound(const char *decimal, bool fractions) {
    struct bound b = {.negative = decimal[0] == '-', .fractions = fractions};
    struct text rest = text_of(decimal + b.negative);
    text_cut(&rest, '.', &b.whole);
    if (rest.at) b.fraction = rest;
    while (b.whole.len && b.whole.at[0] == '0') b.whole.at++, b.whole.len--;
    while (b.fraction.len && b.fraction.at[b.fraction.len - 1] == '0') b.fraction.len--;
    b.zero = b.whole.len == 0 && b.fraction.len == 0;
    return b;
}

static void add_any_fraction(struct buf *out, const struct bound *b) {
    if (b->fractions) buf_adds(out, "(?:\\.[0-9]+)?");
}

/* One digit on the right side of `digit`, if there is one. */
static bool add_digit_beyond(struct buf *out, char digit, bool below) {
    if (digit == (below ? '0' : '9')) return false;
    if (below) buf_addf(out, "[0-%c]", digit - 1);
    else buf_addf(out, "[%c-9]", digit + 1);
    return true;
}

/* From digit i behind the point on. Missing digits are zeros. */
static void add_fraction_digits(struct buf *out, const struct bound *b, size_t i, bool below) {
    if (i == b->fraction.len) {
        buf_adds(out, below ? "0*" : "[0-9]*");
        return;
    }
    buf_adds(out, "(?:");
    if (add_digit_beyond(out, b->fraction.at[i], below)) buf_adds(out, "[0-9]*|");
    buf_addc(out, b->fraction.at[i]);
    if (below) buf_adds(out, "(?:");
    add_fraction_digits(out, b, i + 1, below);
    buf_adds(out, below ? ")?)" : ")");
}

/* What may stand behind the bound's own whole digits. */
static void add_fraction(struct buf *out, const struct bound *b, bool below) {
    if (!b->fractions) return;
    if (!below && b->fraction.len == 0) {
        add_any_fraction(out, b);
        return;
    }
    buf_adds(out, "(?:\\.");
    if (below && b->fraction.len == 0) buf_addc(out, '0');
    add_fraction_digits(out, b, 0, below);
    buf_adds(out, below ? ")?" : ")");
}

/* From digit i in front of the point on, for texts with as many digits as the bound. */
static void add_whole_digits(struct buf *out, const struct bound *b, size_t i, bool below) {
    if (i == b->whole.len) {
        add_fraction(out, b, below);
        return;
    }
    buf_adds(out, "(?:");
    if (add_digit_beyond(out, b->whole.at[i], below)) {
        buf_addf(out, "[0-9]{%zu}", b->whole.len - i - 1);
        add_any_fraction(out, b);
        buf_addc(out, '|');
    }
    buf_addc(out, b->whole.at[i]);
    add_whole_digits(out, b, i + 1, below);
    buf_addc(out, ')');
}

static void add_magnitude(struct buf *out, const struct bound *b, bool below) {
    size_t digits = b->whole.len;
    buf_adds(out, "0*(?:");
    if (below && digits) buf_addf(out, "[0-9]{0,%zu}", digits - 1);
    if (!below) buf_addf(out, "[1-9][0-9]{%zu,}", digits);
    if (digits || !below) {
        add_any_fraction(out, b);
        buf_addc(out, '|');
    }
    add_whole_digits(out, b, 0, below);
    buf_addc(out, ')');
}

static void add_bound(struct buf *out, const char *decimal, bool fractions, bool at_most) {
    struct bound b = read_bound(decimal, fractions);
    bool negative = b.negative && !b.zero, crosses = at_most ? !negative : negative || b.zero;
    buf_adds(out, "^" REGEXP_BLANKS "(?:");
    if (crosses) buf_adds(out, at_most ? "-[0-9.]+|" : "[0-9.]+|"); /* all numbers beyond zero */
    if (!at_most && b.zero) negative = true;
    if (negative) buf_addc(out, '-');
    add_magnitude(out, &b, at_most != negative);
    buf_adds(out, ")" REGEXP_BLANKS REGEXP_END);
}

void decimal_add_at_most(struct buf *out, const char *bound, bool fractions) {
    add_bound(out, bound, fractions, true);
}

void decimal_add_at_least(struct buf *out, const char *bound, bool fractions) {
    add_bound(out, bound, fractions, false);
}
