/* Descriptors: how many the process may have open, and how many of them clients may take. */
#ifndef CLI_DESCRIPTORS_H
#define CLI_DESCRIPTORS_H

#include <stdint.h>

void descriptors_raise(void); /* to the hard limit */

/* Of so many connections of clients, how many may be: calls to upstreams, the store and the log keep 1,000 descriptors,
 * or a quarter of a small limit. Counted in are those over the limit who are being told so. Without that, clients who
 * only connect would take the calls of all runs away. */
int64_t descriptors_for_clients(int64_t wanted, unsigned loops);

#endif
