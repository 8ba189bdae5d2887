/* Who looks a name up, and who waits for it.
 *
 * A list of what was ever dialed by name: as many as definitions name, so it is searched from its front and never
 * shrinks. transfer.c starts, fails and times the waiting ones; nothing here knows what they are.
 * Always holds: a lookup without a leader has nobody waiting. */
#include "back/lookup.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/mem.h"

struct lookup {
    struct lookup *next;
    char *url;
    int64_t known_until_ms;
    struct lookup_seat *leader;
    struct lookup_seat *first, **last; /* who waits, in the order of coming */
};

struct lookups {
    struct lookup *first;
};

struct lookups *lookups_new(void) {
    return mem_alloc(sizeof(struct lookups));
}

void lookups_free(struct lookups *lookups) {
    if (!lookups) return;
    while (lookups->first) {
        struct lookup *lookup = lookups->first;
        lookups->first = lookup->next;
        mem_free(lookup->url);
        mem_free(lookup);
    }
    mem_free(lookups);
}

/* Addresses, and the one name that curl knows by itself. */
static bool needs_none(struct text host) {
    char copy[64];
    struct in_addr address;
    if (host.len == 0 || host.at[0] == '[' || text_is_nocase(host, "localhost")) return true;
    if (host.len >= sizeof copy) return false;
    memcpy(copy, host.at, host.len);
    copy[host.len] = 0;
    return inet_pton(AF_INET, copy, &address) == 1;
}

static struct lookup *find(struct lookups *lookups, const char *url) {
    for (struct lookup *lookup = lookups->first; lookup; lookup = lookup->next)
        if (strcasecmp(lookup->url, url) == 0) return lookup;
    struct lookup *lookup = mem_alloc(sizeof *lookup);
    lookup->url = mem_strdup(url);
    lookup->last = &lookup->first;
    lookup->next = lookups->first;
    lookups->first = lookup;
    return lookup;
}

static void append(struct lookup *lookup, struct lookup_seat *seat) {
    seat->next = NULL;
    seat->at = lookup->last;
    *lookup->last = seat;
    lookup->last = &seat->next;
}

static void take_out(struct lookup_seat *seat) {
    struct lookup *lookup = seat->lookup;
    *seat->at = seat->next;
    if (seat->next) seat->next->at = seat->at;
    else lookup->last = seat->at;
    seat->next = NULL;
    seat->at = NULL;
}

bool lookups_enter(struct lookups *lookups, struct text host, const char *url, struct lookup_seat *seat,
                   int64_t now_ms) {
    if (needs_none(host)) return true;
    struct lookup *lookup = find(lookups, url);
    if (now_ms < lookup->known_until_ms) return true;
    seat->lookup = lookup;
    if (!lookup->leader) {
        lookup->leader = seat;
        return true;
    }
    append(lookup, seat);
    return false;
}

bool lookup_leads(const struct lookup_seat *seat) {
    return seat->lookup && seat->lookup->leader == seat;
}

struct lookup_seat *lookup_settle(struct lookup_seat *leader, bool found, int64_t now_ms) {
    struct lookup *lookup = leader->lookup;
    struct lookup_seat *waited = lookup->first;
    for (struct lookup_seat *seat = waited; seat; seat = seat->next) {
        seat->lookup = NULL;
        seat->at = NULL;
    }
    lookup->known_until_ms = found ? now_ms + LOOKUP_KEPT_MS : 0;
    lookup->leader = NULL;
    lookup->first = NULL;
    lookup->last = &lookup->first;
    leader->lookup = NULL;
    return waited;
}

struct lookup_seat *lookup_leave(struct lookup_seat *seat) {
    struct lookup *lookup = seat->lookup;
    if (!lookup) return NULL;
    if (lookup->leader != seat) {
        take_out(seat);
        seat->lookup = NULL;
        return NULL;
    }
    seat->lookup = NULL;
    lookup->leader = lookup->first;
    if (lookup->leader) take_out(lookup->leader);
    return lookup->leader;
}
