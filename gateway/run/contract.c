/* Contracts: what was found, kept and told.
 *
 * All loops share a contract, so that it is whole wherever it is asked for. Its lock is taken for a finding, never for
 * a reply that is as expected: the kinds that paths have had are atomic bytes beside it. What counts as a finding is
 * for run/contract_watch to say.
 *
 * Upstreams may be hostile, or send another word each time: the findings of a definition are bounded in number, and
 * each of them in size; behind that they are only counted. What makes a finding another one (its step, setting, path)
 * comes from the definition, but for words. A finding is told of in the log when it is new; a date also when it is
 * another one, a few times, and when it comes near. */
#include "run/contract.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/index.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/run.h"

#define SHELF 3          /* definitions of a stage: the one in force, and those that runs are pinned to */
#define SENTENCE_MAX 800 /* bytes */
#define DAY_MS INT64_C(86400000)

enum level { LEVEL_UNTOLD, LEVEL_WARN, LEVEL_SOON };

struct finding {
    struct finding *next;
    enum contract_kind kind;
    char *step, *setting, *path, *word, *what, *link;
    const char *expected, *found;
    int64_t times, first_ms, last_ms, at_ms;
    char run[STORE_ID_SIZE]; /* the last one */
    unsigned changes;        /* of at_ms, that were told of */
    enum level told;
};

struct contract {
    atomic_int references;
    char hash[65];
    int64_t since_ms;
    size_t *first; /* slot of each step; then that of the stage's outputs */
    size_t step_count, slot_count;
    _Atomic unsigned char *kinds; /* by slot: 0, or 1 + enum json_kind */
    pthread_mutex_t lock;         /* over what follows */
    struct finding *findings;     /* oldest first */
    size_t count, words;
    int64_t more; /* times that something was found which is not kept */
};

struct shelf {
    struct shelf *next;
    struct index_link link;
    char *stage;
    struct contract *kept[SHELF]; /* the one that was begun or asked for last is the first */
};

struct contracts {
    pthread_mutex_t lock;
    struct index by_stage;
    struct shelf *shelves;
};

static const char *kind_word(enum contract_kind kind) {
    static const char *const words[] = {
#define X(id, word) [CONTRACT_##id] = word,
        CONTRACT_KINDS(X)
#undef X
    };
    return words[kind];
}

/* ---- contracts ---- */

static struct contract *contract_new(const struct stage *stage, int64_t now_ms) {
    struct contract *contract = mem_alloc(sizeof *contract);
    atomic_init(&contract->references, 1);
    memcpy(contract->hash, stage->hash, sizeof contract->hash);
    contract->since_ms = now_ms;
    contract->step_count = stage->step_count;
    contract->first = mem_alloc((stage->step_count + 1) * sizeof *contract->first);
    for (size_t i = 0; i < stage->step_count; i++)
        contract->first[i + 1] = contract->first[i] + 2 * VERDICT_PARTS + stage->steps[i].output_count;
    contract->slot_count = contract->first[stage->step_count] + stage->output_count;
    contract->kinds = mem_alloc(contract->slot_count * sizeof *contract->kinds);
    pthread_mutex_init(&contract->lock, NULL);
    return contract;
}

static void finding_free(struct finding *finding) {
    mem_free(finding->step);
    mem_free(finding->setting);
    mem_free(finding->path);
    mem_free(finding->word);
    mem_free(finding->what);
    mem_free(finding->link);
    mem_free(finding);
}

static struct contract *contract_ref(struct contract *contract) {
    atomic_fetch_add_explicit(&contract->references, 1, memory_order_relaxed);
    return contract;
}

void contract_unref(struct contract *contract) {
    if (!contract || atomic_fetch_sub_explicit(&contract->references, 1, memory_order_acq_rel) != 1) return;
    while (contract->findings) {
        struct finding *finding = contract->findings;
        contract->findings = finding->next;
        finding_free(finding);
    }
    pthread_mutex_destroy(&contract->lock);
    mem_free(contract->kinds);
    mem_free(contract->first);
    mem_free(contract);
}

/* ---- shelves ---- */

struct contracts *contracts_new(void) {
    struct contracts *all = mem_alloc(sizeof *all);
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void contracts_free(struct contracts *all) {
    if (!all) return;
    index_fini(&all->by_stage);
    while (all->shelves) {
        struct shelf *shelf = all->shelves;
        all->shelves = shelf->next;
        for (size_t i = 0; i < SHELF; i++) contract_unref(shelf->kept[i]);
        mem_free(shelf->stage);
        mem_free(shelf);
    }
    pthread_mutex_destroy(&all->lock);
    mem_free(all);
}

static bool same_stage(const void *owner, const void *stage) {
    return strcmp(((const struct shelf *)owner)->stage, stage) == 0;
}

static struct shelf *shelf_of(struct contracts *all, const char *stage, bool make) {
    uint32_t hash = index_hash(text_of(stage), (struct text){0});
    struct shelf *shelf = index_find(&all->by_stage, hash, same_stage, stage);
    if (shelf || !make) return shelf;
    shelf = mem_alloc(sizeof *shelf);
    shelf->stage = mem_strdup(stage);
    shelf->next = all->shelves;
    all->shelves = shelf;
    index_add(&all->by_stage, &shelf->link, hash, shelf);
    return shelf;
}

/* Whose place a definition has, or gets: that of the one that was used least lately. */
static size_t place_of(const struct shelf *shelf, const struct stage *stage) {
    for (size_t i = 0; i < SHELF; i++)
        if (!shelf->kept[i] || strcmp(shelf->kept[i]->hash, stage->hash) == 0) return i;
    return SHELF - 1;
}

static void to_front(struct shelf *shelf, size_t place, struct contract *contract) {
    for (; place > 0; place--) shelf->kept[place] = shelf->kept[place - 1];
    shelf->kept[0] = contract;
}

struct contract *contracts_begin(struct contracts *all, const struct stage *stage, int64_t now_ms) {
    pthread_mutex_lock(&all->lock);
    struct shelf *shelf = shelf_of(all, stage->name, true);
    size_t place = place_of(shelf, stage);
    struct contract *contract = shelf->kept[place], *gone = NULL;
    if (!contract || strcmp(contract->hash, stage->hash) != 0) {
        gone = contract;
        contract = contract_new(stage, now_ms);
    }
    to_front(shelf, place, contract);
    contract_ref(contract);
    pthread_mutex_unlock(&all->lock);
    contract_unref(gone);
    return contract;
}

struct contract *contracts_find(struct contracts *all, const struct stage *stage) {
    struct contract *contract = NULL;
    pthread_mutex_lock(&all->lock);
    const struct shelf *shelf = shelf_of(all, stage->name, false);
    for (size_t i = 0; shelf && i < SHELF && shelf->kept[i]; i++)
        if (strcmp(shelf->kept[i]->hash, stage->hash) == 0) contract = contract_ref(shelf->kept[i]);
    pthread_mutex_unlock(&all->lock);
    return contract;
}

/* ---- slots ---- */

size_t contract_slot(const struct contract *contract, size_t step, bool callback, enum verdict_part part) {
    return contract->first[step] + (callback ? VERDICT_PARTS : 0) + part;
}

size_t contract_output_slot(const struct contract *contract, size_t step, size_t output) {
    return contract->first[step] + (step < contract->step_count ? 2 * VERDICT_PARTS : 0) + output;
}

enum json_kind contract_kind_first(struct contract *contract, size_t slot, enum json_kind kind) {
    assert(slot < contract->slot_count);
    unsigned char first = atomic_load_explicit(&contract->kinds[slot], memory_order_relaxed);
    if (first || atomic_compare_exchange_strong(&contract->kinds[slot], &first, (unsigned char)(1 + kind)))
        return first ? (enum json_kind)(first - 1) : kind;
    return (enum json_kind)(first - 1); /* another thread was quicker */
}

/* ---- findings ---- */

static bool is_dated(enum contract_kind kind) {
    return kind == CONTRACT_DEPRECATION || kind == CONTRACT_SUNSET;
}

static bool is_of(const struct finding *f, const struct contract_note *note, struct text word) {
    return f->kind == note->kind && text_same_cstr(f->step, note->step) && text_same_cstr(f->setting, note->setting) &&
           text_same_cstr(f->path, note->path) && text_same_cstr(f->expected, note->expected) &&
           text_same_cstr(f->found, note->found) && (f->kind != CONTRACT_WORD || text_is(word, f->word));
}

static struct finding *add(struct contract *contract, const struct contract_note *note, struct text word,
                           int64_t now_ms) {
    bool is_word = note->kind == CONTRACT_WORD;
    if (contract->count == CONTRACT_FINDINGS_MAX || (is_word && contract->words == CONTRACT_WORDS_MAX)) return NULL;
    struct finding *made = mem_alloc(sizeof *made), **at = &contract->findings;
    *made = (struct finding){.kind = note->kind,
                             .step = mem_strdup(note->step),
                             .setting = mem_strdup(note->setting),
                             .path = mem_strdup(note->path),
                             .word = is_word ? mem_strndup(word.at, word.len) : NULL,
                             .what = mem_strdup(note->what),
                             .link = mem_strdup(note->link),
                             .expected = note->expected,
                             .found = note->found,
                             .first_ms = now_ms,
                             .at_ms = note->at_ms};
    while (*at) at = &(*at)->next;
    *at = made;
    contract->count++;
    contract->words += is_word;
    return made;
}

static enum level level_of(const struct finding *f, int64_t now_ms) {
    bool soon = f->kind == CONTRACT_SUNSET && f->at_ms && f->at_ms - now_ms < CONTRACT_SOON_MS;
    return soon ? LEVEL_SOON : LEVEL_WARN;
}

/* Another date is news, but not for ever: some upstreams say "in a month" each day. */
static void renew(struct finding *f, const struct contract_note *note) {
    if (f->at_ms == note->at_ms) return;
    f->at_ms = note->at_ms;
    if (f->changes++ < CONTRACT_CHANGES_MAX) f->told = LEVEL_UNTOLD;
}

/* ---- telling ---- */

static const char *with_article(const char *kind) {
    static const char *const words[][2] = {{"array", "an array"},  {"object", "an object"}, {"boolean", "a boolean"},
                                           {"number", "a number"}, {"string", "a string"},  {"word", "a word"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], kind) == 0) return words[i][1];
    return kind;
}

static void say_date(struct buf *out, const struct finding *f, int64_t now_ms) {
    char date[CLOCK_TEXT_SIZE];
    bool past = f->at_ms <= now_ms, sunset = f->kind == CONTRACT_SUNSET;
    buf_adds(out, sunset ? "the upstream says that it ends this" : "the upstream says that this is deprecated");
    if (!f->at_ms) {
        buf_adds(out, sunset ? ", at a time that cannot be read" : "");
        return;
    }
    clock_format(f->at_ms, date);
    buf_addf(out, " %s %.10s", sunset ? "on" : past ? "since" : "from", date);
    if (past && sunset) buf_adds(out, ", which is past");
    else if (!past) buf_addf(out, ", in %lld days", (long long)((f->at_ms - now_ms) / DAY_MS));
}

static void say(struct buf *out, const struct finding *f, int64_t now_ms) {
    switch (f->kind) {
    case CONTRACT_WORD: buf_addf(out, "no list of the definition names \"%s\"", f->word); break;
    case CONTRACT_TYPE:
        buf_addf(out, "%s stood there, where %s was expected", with_article(f->found), with_article(f->expected));
        break;
    case CONTRACT_DEPRECATION:
    case CONTRACT_SUNSET: say_date(out, f, now_ms); break;
    default: buf_adds(out, f->what); break;
    }
}

static void tell(const struct run *run, const struct finding *f, int64_t now_ms) {
    struct log_context ctx = {.run = run->id,
                              .stage = run->stage_name,
                              .step = f->step,
                              .caller = run->caller_name,
                              .trace = run->traceparent};
    struct buf what;
    buf_init(&what, SENTENCE_MAX);
    say(&what, f, now_ms);
    log_put(f->told == LEVEL_SOON ? LOG_ERROR : LOG_WARN, "contract_finding", &ctx, LOG_STR("kind", kind_word(f->kind)),
            LOG_STR("setting", f->setting), LOG_STR("path", f->path), LOG_STR("word", f->word),
            LOG_STR("what", buf_cstr(&what)), LOG_STR("link", f->link));
    buf_fini(&what);
}

static void tell_full(const struct run *run) {
    struct log_context ctx = {.run = run->id, .stage = run->stage_name};
    log_put(LOG_WARN, "contract_findings_full", &ctx, LOG_INT("findings", CONTRACT_FINDINGS_MAX),
            LOG_INT("words", CONTRACT_WORDS_MAX));
}

void contract_put(struct contract *contract, const struct run *run, const struct contract_note *note, int64_t now_ms) {
    struct text word = text_beginning(note->word, CONTRACT_WORD_MAX);
    struct finding copy = {.kind = note->kind};
    bool news = false, full = false;
    pthread_mutex_lock(&contract->lock);
    struct finding *f = contract->findings;
    while (f && !is_of(f, note, word)) f = f->next;
    if (!f) f = add(contract, note, word, now_ms);
    if (f) {
        f->times++;
        f->last_ms = now_ms;
        memcpy(f->run, run->id, sizeof f->run);
        if (is_dated(f->kind)) renew(f, note);
        news = level_of(f, now_ms) > f->told;
        if (news) f->told = level_of(f, now_ms);
        copy = *f; /* its texts stay as they are while the contract lives */
    } else {
        full = contract->more++ == 0;
    }
    pthread_mutex_unlock(&contract->lock);
    bool soon = f && level_of(&copy, now_ms) == LEVEL_SOON;
    count_add_labelled(COUNT_FAMILY_CONTRACT_FINDINGS, run->stage_name, soon ? "sunset_soon" : kind_word(note->kind),
                       1);
    if (news) tell(run, &copy, now_ms);
    if (full) tell_full(run);
}

/* ---- showing ---- */

static const struct json *time_or_null(struct arena *arena, int64_t wall_ms) {
    char text[CLOCK_TEXT_SIZE];
    if (wall_ms) clock_format(wall_ms, text);
    return json_new_string(arena, wall_ms ? text : NULL);
}

static const struct json *show(const struct finding *f, struct arena *arena, int64_t now_ms) {
    struct json *made = json_new_object(arena);
    struct buf what;
    buf_init(&what, SENTENCE_MAX);
    say(&what, f, now_ms);
    json_set(made, "kind", json_new_string(arena, kind_word(f->kind)));
    json_set(made, "step", json_new_string(arena, f->step));
    json_set(made, "setting", json_new_string(arena, f->setting));
    json_set(made, "path", json_new_string(arena, f->path));
    json_set(made, "what", json_new_text(arena, buf_text(&what)));
    json_set(made, "word", json_new_string(arena, f->word));
    json_set(made, "expected", json_new_string(arena, f->expected));
    json_set(made, "found", json_new_string(arena, f->found));
    json_set(made, "at", time_or_null(arena, f->at_ms));
    json_set(made, "link", json_new_string(arena, f->link));
    json_set(made, "times", json_new_int(arena, f->times));
    json_set(made, "first", time_or_null(arena, f->first_ms));
    json_set(made, "last", time_or_null(arena, f->last_ms));
    json_set(made, "run", json_new_string(arena, f->run));
    buf_fini(&what);
    return made;
}

const struct json *contract_show(struct contract *contract, struct arena *arena, int64_t now_ms) {
    struct json *made = json_new_object(arena), *findings = json_new_array(arena);
    int64_t more = 0;
    if (contract) {
        pthread_mutex_lock(&contract->lock);
        for (const struct finding *f = contract->findings; f; f = f->next) json_push(findings, show(f, arena, now_ms));
        more = contract->more;
        pthread_mutex_unlock(&contract->lock);
    }
    json_set(made, "since", time_or_null(arena, contract ? contract->since_ms : 0));
    json_set(made, "findings", findings);
    json_set(made, "more", json_new_int(arena, more));
    return made;
}
