/* Pieces of the template language, written out: for what is translated into it. */
#ifndef ORCA_JINJA_H
#define ORCA_JINJA_H

#include <stdbool.h>

#include "base/text.h"

bool jinja_is_name(struct text name);                      /* can stand bare behind a dot */
void jinja_add_member(struct buf *out, struct text name);  /* .name or ['a name'] */
void jinja_add_string(struct buf *out, struct text value); /* 'it\'s', on one line */
/* Text that is to stand in a template as it is: {{, {% and {# in it are put in by expressions. */
void jinja_add_literal(struct buf *out, struct text literal);

#endif
