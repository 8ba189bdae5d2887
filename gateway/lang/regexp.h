/* Regular expressions in the form that every engine reads alike: PCRE2, ECMAScript (JSON Schema's) and Python. */
#ifndef LANG_REGEXP_H
#define LANG_REGEXP_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/text.h"

enum regexp_dialect {
    REGEXP_INTEROPERABLE, /* I-Regexp (RFC 9485), checked to the letter */
    REGEXP_PLAIN,         /* what parameters take: I-Regexp and \d \w \s, any escaped punctuation, (?: (?= (?!, lazy */
};

/* Checks `source` and appends the same expression with everything written out that engines read differently: `.` never
 * matches a line end (RFC 9485, 5.3), `$` only the very end, \d \w \s are ASCII. ^ and $ are anchors in both dialects:
 * RFC 9485's grammar has them as plain characters, but hands them on to engines as they stand, and RFC 9535's
 * compliance suite holds them for anchors. Fault: SYNTAX with the column, and what to write instead where that is
 * known. On failure `out` holds a part. */
bool regexp_rewrite(struct buf *out, struct text source, enum regexp_dialect dialect, struct fault *fault);

void regexp_add_literal(struct buf *out, struct text literal); /* text that stands for itself, escaped */

#define REGEXP_BLANKS "[ \\t\\r\\n]*" /* what text_trim takes off */
#define REGEXP_END "$(?!\\n)"         /* the very end: in Python and PCRE2 $ alone may stand before a last line end */

#endif
