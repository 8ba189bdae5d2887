/* The groups of runs, as the connection that writes remembers them.
 *
 * Runs of one stage, one definition and one status, in flight or over, are a group: a row of its own in the tables, so
 * that each run, and each index of runs, has a small number in place of three texts. Which number a group has, and that
 * the source of its definition is kept, is the same for thousands of runs; so it is asked for once and remembered here.
 * Nothing here looks into the tables. Whoever changes them otherwise than by adding (a transaction that is undone,
 * groups that are pruned) has all forgotten. */
#include "store/sqlite_group.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define BUCKETS 1024
#define HASHED 16
#define GROUPS_MOST 10000 /* then they are learnt anew */

struct groups {
    struct arena *arena;
    size_t count;
    struct run_group *buckets[BUCKETS];
};

/* By their beginnings: a definition is named by a hash, of which these few characters are enough. */
static uint32_t hash_of(uint32_t value, const char *text) {
    for (int i = 0; text && i < HASHED && text[i]; i++) value = (value ^ (unsigned char)text[i]) * 16777619u;
    return value * 31;
}

static size_t bucket_of(const struct run_group *like) {
    uint32_t value = hash_of(hash_of(hash_of(like->over, like->stage), like->definition), like->status);
    return (value ^ value >> 16) % BUCKETS;
}

struct groups *groups_new(void) {
    struct groups *groups = mem_alloc(sizeof *groups);
    groups->arena = arena_new();
    return groups;
}

void groups_free(struct groups *groups) {
    if (!groups) return;
    arena_free(groups->arena);
    mem_free(groups);
}

struct run_group *groups_find(const struct groups *groups, const struct run_group *like) {
    struct run_group *group = groups->buckets[bucket_of(like)];
    while (group &&
           !(text_same_cstr(group->status, like->status) && text_same_cstr(group->definition, like->definition) &&
             text_same_cstr(group->stage, like->stage) && group->over == like->over))
        group = group->next;
    return group;
}

struct run_group *groups_add(struct groups *groups, const struct run_group *like) {
    if (groups->count == GROUPS_MOST) groups_forget(groups);
    struct run_group *group = arena_new_of(groups->arena, struct run_group), **at = &groups->buckets[bucket_of(like)];
    *group = *like;
    group->stage = arena_strdup(groups->arena, like->stage);
    group->definition = arena_strdup(groups->arena, like->definition);
    group->status = arena_strdup(groups->arena, like->status);
    group->next = *at;
    *at = group;
    groups->count++;
    return group;
}

void groups_forget(struct groups *groups) {
    arena_free(groups->arena);
    memset(groups, 0, sizeof *groups);
    groups->arena = arena_new();
}
