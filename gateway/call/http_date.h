/* HTTP-dates (RFC 9110, 5.6.7). */
#ifndef CALL_HTTP_DATE_H
#define CALL_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT") and the two obsolete forms ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov
 * 6 08:49:37 1994"), which a recipient has to take too. The name of the day is not compared with the date. A year of
 * two digits that would lie more than 50 years ahead of now_ms (wall) is of the century before. */
bool http_date_parse(struct text t, int64_t now_ms, int64_t *ret_wall_ms);

#endif
