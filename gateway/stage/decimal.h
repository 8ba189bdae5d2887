/* Bounds on decimal numbers in text, as regular expressions: what a JSON Schema can say of them. */
#ifndef STAGE_DECIMAL_H
#define STAGE_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define DECIMAL_DIGITS 15                  /* so many always survive the way through a double */
#define DECIMAL_WHOLE_MAX 9007199254740991 /* 2^53 - 1 */

enum { DECIMAL_ROOM = 48 };
/* Writes a bound without an exponent ("-0.25"). False for one that a double does not hold exactly as it is written:
 * beyond DECIMAL_WHOLE_MAX, or not whole and with more than 15 digits. */
bool decimal_write(double bound, char ret_decimal[DECIMAL_ROOM]);

/* Each appends an expression for the texts, within blanks, whose number is at most or at least `bound`. They tell only
 * the numbers apart: that a text is a number has to be said beside them. `fractions`: texts may have them. */
void decimal_add_at_most(struct buf *out, const char *bound, bool fractions);
void decimal_add_at_least(struct buf *out, const char *bound, bool fractions);

#endif
