/* The groups of runs, as the connection that writes remembers them. Private to store/sqlite*. */
#ifndef STORE_SQLITE_GROUP_H
#define STORE_SQLITE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct run_group { /* of runs that have the same of each of these */
    const char *stage, *definition, *status;
    bool over;
    /* what the tables have of it */
    int64_t number;
    bool defined; /* the definition's source is there */
    struct run_group *next;
};

struct groups;

struct groups *groups_new(void); /* GIVES */
void groups_free(struct groups *groups);
struct run_group *groups_find(const struct groups *groups, const struct run_group *like); /* borrowed, or NULL */
struct run_group *groups_add(struct groups *groups, const struct run_group *like);        /* a copy, borrowed */
void groups_forget(struct groups *groups);                                                /* all of them */

#endif
