/* Time: readings of the two clocks, and RFC 3339 text. Pure folders take `now` as an argument and never call this. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01T00:00:00Z; may jump */
int64_t clock_mono_ms(void); /* monotonic; for durations and timers */

#define CLOCK_TEXT_SIZE 25 /* "2026-11-23T06:47:00.123Z" and NUL */
void clock_format(int64_t wall_ms,
                  char out[CLOCK_TEXT_SIZE]);          /* RFC 3339, UTC, milliseconds; clamped to years 0000-9999 */
bool clock_parse(struct text t, int64_t *ret_wall_ms); /* RFC 3339 section 5.6, any offset */

#endif
