/* What came for a step from outside, before anybody looked at it.
 *
 * Everything has a ceiling, since whoever has a callback's URL may call it as often as he likes: what does not fit is
 * refused and comes again, and a mark that is forgotten means that an old message may be judged a second time, not that
 * it does harm. Called by run/run's moves, and by run/record. */
#include "run/inbox.h"

#include <string.h>

bool inbox_knows(const struct inbox *inbox, const char *mark) {
    if (!inbox) return false;
    unsigned count = inbox->known_count < INBOX_KNOWN ? inbox->known_count : INBOX_KNOWN;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(inbox->known[i], mark) == 0) return true;
    return false;
}

bool inbox_newest_is(const struct inbox *inbox, const char *mark) {
    return inbox && inbox->known_count && strcmp(inbox->known[(inbox->known_count - 1) % INBOX_KNOWN], mark) == 0;
}

void inbox_note(struct inbox *inbox, const char *mark) {
    if (inbox_newest_is(inbox, mark)) return;
    char *place = inbox->known[inbox->known_count++ % INBOX_KNOWN];
    memcpy(place, mark, INBOX_MARK_SIZE - 1);
    place[INBOX_MARK_SIZE - 1] = 0;
    if (inbox->known_count == 2 * INBOX_KNOWN) inbox->known_count = INBOX_KNOWN; /* the same place, and never an end */
}

bool inbox_keep(struct inbox *inbox, struct arena *arena, const struct inbox_message *message) {
    size_t bytes = message->bytes;
    for (unsigned i = 0; i < inbox->kept_count; i++) bytes += inbox->kept[i].bytes;
    if (inbox->kept_count == INBOX_KEPT || bytes > INBOX_KEPT_BYTES) return false;
    inbox->kept[inbox->kept_count++] = (struct inbox_message){json_share(arena, message->value), message->bytes};
    return true;
}

bool inbox_take(struct inbox *inbox, struct inbox_message *ret_message) {
    if (!inbox || inbox->kept_count == 0) return false;
    *ret_message = inbox->kept[0];
    inbox->kept_count--;
    memmove(inbox->kept, inbox->kept + 1, inbox->kept_count * sizeof *inbox->kept);
    return true;
}

const struct json *inbox_write(const struct inbox *inbox, struct arena *arena, const struct json *const *values) {
    struct json *made = json_new_object(arena), *known = json_new_array(arena), *kept = json_new_array(arena);
    unsigned first = inbox->known_count > INBOX_KNOWN ? inbox->known_count - INBOX_KNOWN : 0;
    for (unsigned i = first; i < inbox->known_count; i++)
        json_push(known, json_new_string(arena, inbox->known[i % INBOX_KNOWN]));
    json_set(made, "known", known);
    for (unsigned i = 0; values && i < inbox->kept_count; i++) {
        struct json *message = json_new_object(arena);
        json_set(message, "bytes", json_new_int(arena, (int64_t)inbox->kept[i].bytes));
        json_set(message, "value", values[i]);
        json_push(kept, message);
    }
    if (json_size(kept)) json_set(made, "kept", kept);
    return made;
}

struct inbox *inbox_load(struct arena *arena, const struct json *from) {
    if (json_kind(from) != JSON_OBJECT) return NULL;
    struct inbox *inbox = arena_new_of(arena, struct inbox);
    const struct json *known = json_gets(from, "known"), *kept = json_gets(from, "kept");
    for (size_t i = 0; i < json_size(known); i++) {
        struct text mark = json_text(json_at(known, i));
        if (mark.len == INBOX_MARK_SIZE - 1) inbox_note(inbox, mark.at);
    }
    for (size_t i = 0; i < json_size(kept); i++) {
        const struct json *message = json_at(kept, i);
        inbox_keep(inbox, arena,
                   &(struct inbox_message){json_gets(message, "value"), (size_t)json_int(json_gets(message, "bytes"))});
    }
    return inbox;
}
