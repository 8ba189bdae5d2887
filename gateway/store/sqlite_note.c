/* Rows as text: four numbers (place, group, created, updated) and four texts (id, stage, key, body), one behind the
 * other. A number is eight bytes, the lowest first; a text is the number of its bytes, and they. A run without a key
 * has NO_KEY for that number.
 *
 * What is read comes from a file that may be damaged: nothing that it says is trusted. */
#include "store/sqlite_note.h"

#include <endian.h>
#include <stdio.h>

#define NO_KEY UINT64_MAX

/* ---- writing ---- */

static void put_number(struct buf *to, int64_t number) {
    uint64_t bytes = htole64((uint64_t)number);
    buf_add(to, &bytes, sizeof bytes);
}

static void put_text(struct buf *to, struct text text) {
    put_number(to, (int64_t)text.len);
    buf_addt(to, text);
}

void note_put(struct buf *to, const struct row *row) {
    const struct store_record *record = &row->record;
    put_number(to, row->place);
    put_number(to, row->group);
    put_number(to, record->created_ms);
    put_number(to, record->updated_ms);
    put_text(to, text_of(record->id));
    put_text(to, text_of(record->stage));
    if (record->key) put_text(to, text_of(record->key));
    else put_number(to, (int64_t)NO_KEY);
    put_text(to, record->body);
}

/* ---- reading ---- */

static bool take_number(struct text *from, int64_t *ret) {
    uint64_t bytes;
    if (from->len < sizeof bytes) return false;
    memcpy(&bytes, from->at, sizeof bytes);
    text_skip(from, sizeof bytes);
    *ret = (int64_t)le64toh(bytes);
    return true;
}

/* One that is missing has no place in memory. */
static bool take_text(struct text *from, struct text *ret) {
    int64_t bytes;
    *ret = (struct text){0};
    if (!take_number(from, &bytes)) return false;
    if ((uint64_t)bytes == NO_KEY) return true;
    if ((uint64_t)bytes > from->len) return false;
    *ret = (struct text){from->at, (size_t)bytes};
    text_skip(from, ret->len);
    return true;
}

static bool take_numbers(struct text *from, struct row *ret) {
    return take_number(from, &ret->place) && take_number(from, &ret->group) &&
           take_number(from, &ret->record.created_ms) && take_number(from, &ret->record.updated_ms);
}

bool note_take(struct arena *arena, struct text *from, struct row *ret) {
    struct text id, stage, key;
    *ret = (struct row){0};
    if (!take_numbers(from, ret) || !take_text(from, &id) || !take_text(from, &stage) || !take_text(from, &key) ||
        !take_text(from, &ret->record.body))
        return false;
    if (id.len == 0 || id.len >= STORE_ID_SIZE || !stage.at || !ret->record.body.at) return false;
    snprintf(ret->record.id, sizeof ret->record.id, "%.*s", TEXT_ARG(id));
    ret->record.stage = arena_strndup(arena, stage.at, stage.len);
    ret->record.key = key.at ? arena_strndup(arena, key.at, key.len) : NULL;
    return true;
}
