/* Rows as text: what a commit notes of the runs that begin in it. Private to store/sqlite*. */
#ifndef STORE_SQLITE_NOTE_H
#define STORE_SQLITE_NOTE_H

#include "store/sqlite_row.h"

void note_put(struct buf *to, const struct row *row); /* of a run in flight */

/* Takes the first row off `from`; its texts are copied but for its body. False: that is no row. */
bool note_take(struct arena *arena, struct text *from, struct row *ret);

#endif
