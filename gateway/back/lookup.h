/* Lookups: of the calls that wait for the address of a host and port, one asks and the others wait for it. Bookkeeping
 * only: who leads, who waits. Private to back/.
 *
 * libcurl starts a thread for every lookup that its cache cannot answer, also for a thousand of the same name at the
 * same moment, which is what a restart with many runs in flight looks like. Its cache is by host and port. */
#ifndef BACK_LOOKUP_H
#define BACK_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define LOOKUP_KEPT_MS 55000 /* less than the 60 s for which curl keeps an address */

struct lookup;
struct lookups; /* one a loop */

/* Embedded in who asks; zeroed before the first use. */
struct lookup_seat {
    struct lookup *lookup; /* NULL: neither leads nor waits */
    struct lookup_seat *next, **at;
    void *owner;
};

struct lookups *lookups_new(void);
void lookups_free(struct lookups *lookups);

/* `url` is what is dialed, as struct origin has it. True: go ahead (the address is known, or the seat leads now, or
 * there is nothing to look up). False: wait. */
bool lookups_enter(struct lookups *lookups, struct text host, const char *url, struct lookup_seat *seat,
                   int64_t now_ms);
bool lookup_leads(const struct lookup_seat *seat);

/* The leader knows: gives the list of those who waited (by `next`), which are out of their seats. `found` lets later
 * ones go ahead for LOOKUP_KEPT_MS. */
struct lookup_seat *lookup_settle(struct lookup_seat *leader, bool found, int64_t now_ms);

/* Gives up a seat, of any kind. Gives the seat that leads now in its place, or NULL. */
struct lookup_seat *lookup_leave(struct lookup_seat *seat);

#endif
