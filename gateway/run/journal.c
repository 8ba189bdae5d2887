/* A list of what happened, short however long it took.
 *
 * A run that polls for a week makes a million calls that all said "running". They are one entry: from when to when, how
 * many, how long the last one took. What alternates without end is cut in the middle, since the beginning tells how the
 * run came to be where it is, and the end where that is. */
#include "run/journal.h"

#include <string.h>

#include "base/mem.h"
#include "lang/json_walk.h"
#include "run/member.h"

#define RULE_MAX 400 /* bytes */

struct journal_entry {
    struct journal_entry *next;
    int64_t first_ms, last_ms, took_ms;
    uint64_t count;
    int code;
    bool has_rule;
    char text[]; /* step, call, phase, verdict and rule, one behind the other */
};

#define TEXTS 5
struct texts {
    const char *step, *call, *phase, *verdict, *rule; /* rule may be NULL */
};

static const char *behind(const char *text) {
    return text + strlen(text) + 1;
}

static struct texts texts_of(const struct journal_entry *entry) {
    struct texts texts = {.step = entry->text};
    texts.call = behind(texts.step);
    texts.phase = behind(texts.call);
    texts.verdict = behind(texts.phase);
    texts.rule = entry->has_rule ? behind(texts.verdict) : NULL;
    return texts;
}

size_t journal_bytes(const struct journal *journal) {
    size_t bytes = 0;
    for (const struct journal_entry *entry = journal->first; entry; entry = entry->next) {
        struct texts texts = texts_of(entry);
        const char *last = texts.rule ? texts.rule : texts.verdict;
        bytes += (size_t)(behind(last) - (const char *)entry);
    }
    return bytes;
}

static size_t length_of(const char *text) {
    struct text seen = {text, text ? strnlen(text, RULE_MAX + 1) : 0};
    return text_beginning(seen, RULE_MAX).len;
}

static bool same_text(const char *kept, const char *text) {
    size_t n = length_of(text);
    return kept ? strlen(kept) == n && memcmp(kept, text ? text : "", n) == 0 : n == 0;
}

static bool same(const struct journal_entry *entry, const struct journal_note *note) {
    if (entry->code != note->code) return false;
    struct texts kept = texts_of(entry);
    return same_text(kept.step, note->step) && same_text(kept.call, note->call) && same_text(kept.phase, note->phase) &&
           same_text(kept.verdict, note->verdict) && same_text(kept.rule, note->rule);
}

static struct journal_entry *entry_new(const struct journal_note *note) {
    const char *texts[TEXTS] = {note->step, note->call, note->phase, note->verdict, note->rule};
    size_t lengths[TEXTS], size = 0;
    for (size_t i = 0; i < TEXTS; i++) size += (lengths[i] = length_of(texts[i])) + 1;
    struct journal_entry *entry = mem_alloc(offsetof(struct journal_entry, text) + size);
    char *at = entry->text;
    for (size_t i = 0; i < TEXTS; i++) {
        if (lengths[i]) memcpy(at, texts[i], lengths[i]);
        at += lengths[i] + 1; /* the rest is zeroed */
    }
    entry->has_rule = note->rule;
    entry->code = note->code;
    entry->first_ms = note->at_ms;
    return entry;
}

static void drop_middle(struct journal *journal) {
    struct journal_entry *before = journal->first;
    for (size_t i = 1; i < JOURNAL_FIRST; i++) before = before->next;
    struct journal_entry *dropped = before->next;
    before->next = dropped->next;
    journal->left_out += dropped->count;
    journal->count--;
    mem_free(dropped);
}

static struct journal_entry *append(struct journal *journal, const struct journal_note *note) {
    struct journal_entry *entry = entry_new(note);
    if (journal->last) journal->last->next = entry;
    else journal->first = entry;
    journal->last = entry;
    if (++journal->count > JOURNAL_MAX) drop_middle(journal);
    return entry;
}

void journal_add(struct journal *journal, const struct journal_note *note) {
    struct journal_entry *entry = journal->last;
    if (!entry || !same(entry, note)) entry = append(journal, note);
    entry->count++;
    entry->last_ms = note->at_ms;
    entry->took_ms = note->took_ms;
}

void journal_fini(struct journal *journal) {
    while (journal->first) {
        struct journal_entry *entry = journal->first;
        journal->first = entry->next;
        mem_free(entry);
    }
    *journal = (struct journal){0};
}

/* ---- JSON ---- */

static void add_time(struct buf *out, struct text member, int64_t ms, bool for_people) {
    member_begin(out, member);
    if (for_people) member_put_time(out, ms);
    else buf_addi(out, ms);
}

static void write(const struct journal *journal, struct buf *out, bool for_people) {
    buf_addc(out, '[');
    for (const struct journal_entry *entry = journal->first; entry; entry = entry->next) {
        struct texts texts = texts_of(entry);
        if (entry != journal->first) buf_addc(out, ',');
        buf_addc(out, '{');
        member_number(out, "count", (int64_t)entry->count);
        member_string(out, "step", texts.step);
        member_string(out, "call", texts.call);
        add_time(out, MEMBER("first"), entry->first_ms, for_people);
        add_time(out, MEMBER("last"), entry->last_ms, for_people);
        member_number(out, "ms", entry->took_ms);
        member_string(out, "phase", texts.phase);
        member_known(out, "code", entry->code, entry->code || !for_people);
        member_string(out, "verdict", texts.verdict);
        member_string(out, "rule", texts.rule);
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
}

void journal_write(const struct journal *journal, struct buf *out) {
    write(journal, out, false);
}

void journal_print(const struct journal *journal, struct buf *out) {
    write(journal, out, true);
}

#define MEMBERS(X) X(count) X(step) X(call) X(first) X(last) X(ms) X(phase) X(code) X(verdict) X(rule)

enum member {
#define X(name) MEMBER_##name,
    MEMBERS(X)
#undef X
        MEMBER_END
};

static const struct text names[] = {
#define X(name) {#name, sizeof #name - 1},
    MEMBERS(X)
#undef X
};

static void load_one(struct journal *journal, struct text entry_text, struct arena *scratch) {
    struct text from[MEMBER_END];
    size_t at;
    if (!json_walk_members(entry_text, names, MEMBER_END, from, &at)) return;
    int64_t count = json_walk_int(from[MEMBER_count]);
    if (count < 1) return;
    struct journal_note note = {.step = json_walk_string_in(scratch, from[MEMBER_step]),
                                .call = json_walk_string_in(scratch, from[MEMBER_call]),
                                .phase = json_walk_string_in(scratch, from[MEMBER_phase]),
                                .verdict = json_walk_string_in(scratch, from[MEMBER_verdict]),
                                .rule = json_walk_string_in(scratch, from[MEMBER_rule]),
                                .code = (int)json_walk_int(from[MEMBER_code]),
                                .at_ms = json_walk_int(from[MEMBER_first])};
    struct journal_entry *entry = append(journal, &note);
    entry->count = (uint64_t)count;
    entry->last_ms = json_walk_int(from[MEMBER_last]);
    entry->took_ms = json_walk_int(from[MEMBER_ms]);
}

void journal_load(struct journal *journal, struct text entries, uint64_t left_out) {
    struct arena *scratch = arena_new();
    struct text entry;
    *journal = (struct journal){.left_out = left_out};
    while (json_walk_next(&entries, &entry)) load_one(journal, entry, scratch);
    arena_free(scratch);
}
