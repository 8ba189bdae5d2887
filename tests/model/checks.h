/* What a run promises (DESIGN.md, section 6), each promise a check with a name. */
#ifndef MODEL_CHECKS_H
#define MODEL_CHECKS_H

#include "world.h"

#define CHECKS(X)                                                                                                     \
    X(DURABLE, "1: a start, a cancel and a callback are acknowledged only once they are durable")                     \
    X(MEMORY, "1: a run is in memory alone exactly where its definition says so, until the gateway is stopped")       \
    X(FORGOTTEN, "1: what was in memory alone is wholly gone after a crash")                                          \
    X(NOT_LOST, "1: what was acknowledged has an end, and it is in the store")                                        \
    X(ONE_A_KEY, "1: one run a key, whoever asks for it how often")                                                   \
    X(INTENT, "2: a call that is not idempotent leaves only after its intent is durable")                             \
    X(REPLY_FIRST, "2: a step begins only after what decided those before it is durable")                             \
    X(WISH_FIRST, "2: a cancel call leaves only after the wish is durable")                                           \
    X(ONCE, "3: work that may not be done twice is done once at most")                                                \
    X(TRIES, "3: no more tries than the definition allows")                                                           \
    X(DOUBT, "4: a call in doubt is sent again only where the definition says so, or a probe found nothing")          \
    X(DOUBT_SAID, "4: in_doubt is said of calls that were in doubt")                                                  \
    X(HELD, "4: a call that waits for its turn is in no doubt")                                                       \
    X(KEY, "4: the idempotency key is there, and the same at each try")                                               \
    X(RESUMED, "5: a restart takes up every run that has not ended")                                                  \
    X(KNOWN, "5: a run that was acknowledged is never said not to be there")                                          \
    X(ORDER, "7: runs that wait for their turn keep their order over a restart")                                      \
    X(PACE, "7: polls keep their distance")                                                                           \
    X(NO_CALL, "6: canceled before it began: no work was begun")                                                      \
    X(CANCEL_STOPS, "6: behind an acknowledged cancel no work is begun")                                              \
    X(CANCEL_COUNTS, "6: an acknowledged cancel ends the run as canceled, unless it was decided before")              \
    X(CANCEL_TRUE, "6: canceled is said only where the upstream was told, and has stopped as far as it can be asked") \
    X(CANCEL_AIMED, "6: the cancel call names the run's own work")                                                    \
    X(FALLBACK, "6: the fallback comes only behind the cancel call, or where that was held or could not be made")     \
    X(QUIET, "7: an upstream that asks for quiet has it")                                                             \
    X(CONCURRENCY, "7: no more runs at work than limits.concurrency")                                                 \
    X(GAP, "7: calls that change things keep limits.gap")                                                             \
    X(SAME, "7: one run at work of the same dedup.key")                                                               \
    X(PINNED, "8: a run keeps the definition that it began with")                                                     \
    X(END_IS_END, "an end does not change")                                                                           \
    X(SILENCE, "nothing is called after the end")                                                                     \
    X(REPORT, "a report has all its members, in orca's words, and nothing that orca would evaluate")                  \
    X(SUCCESS_TRUE, "a step that says SUCCEEDED was told so by its upstream")                                         \
    X(STEADY, "success_for: success has lasted")                                                                      \
    X(FAILURE_TRUE, "upstream_failed and upstream_canceled were said by the upstream")                                \
    X(SKIPPED, "when: a step is left out exactly where it does not hold")                                             \
    X(SECRETS, "no secret in a record, a report or an explanation")                                                   \
    X(FORWARD, "records never go back: step, wishes, times")                                                          \
    X(ENDS, "every run ends within a bound of time")                                                                  \
    X(NOT_LATE, "a timeout comes when its time is up")                                                                \
    X(NOT_EARLY, "a timeout does not come before its time")                                                           \
    X(CALLBACK_COUNTS, "a callback that was acknowledged counts")                                                     \
    X(CALLBACK_SAME, "a callback that is sent again is answered as before")                                           \
    X(CALLBACK_FORGED, "a callback from somebody else is refused")                                                    \
    X(ORPHANS, "orphan_after: canceled only where nobody looked, and always there")

enum check {
#define X(id, text) CHECK_##id,
    CHECKS(X)
#undef X
        CHECK_COUNT
};

extern uint64_t checked[CHECK_COUNT]; /* how often each was looked at */
const char *check_word(enum check check);
const char *check_text(enum check check);

/* Looks; where it does not hold the scenario has failed, and this does not return. */
void check(enum check check, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));

void check_call(const struct transfer *call);                              /* begins */
void check_reply(struct transfer *call, enum reply_phase phase);           /* the gateway gets it */
void check_commit(struct image *image, const struct store_record *record); /* before it takes the image's place */
void check_acknowledged(const struct client *client);
void check_report(struct seen *seen, const struct buf *report);
void check_explanation(const struct seen *seen, struct text text);
void check_texts(struct text text, bool parameter, const char *what);
void check_boot(void); /* behind it */
void check_kill(void); /* the process is gone: what does the disk leave open? */
void check_end(void);  /* of the scenario */

#endif
