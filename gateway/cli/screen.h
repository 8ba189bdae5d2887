/* The screen: what a command may print to, and how. Text of the gateway or an upstream goes through screen_clean before
 * it reaches a terminal. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/text.h"

struct screen {
    FILE *to;
    bool terminal; /* lines can be redrawn */
    bool colour;   /* a terminal, and NO_COLOR is not set */
    bool utf8;
    size_t drawn; /* columns of the line that stands unfinished */
};

void screen_init(struct screen *screen, FILE *to);
size_t screen_width(const struct screen *screen); /* columns; asked anew each time, since windows are resized */
bool screen_broken(const struct screen *screen);  /* nobody reads any more */

/* One line's worth of text: control characters (C0, C1, DEL), line and paragraph separators and bidirectional overrides
 * become a space or '?', so that no upstream can steer a terminal; without UTF-8 all that is not ASCII becomes '?'. */
void screen_clean(struct buf *out, const struct screen *screen, struct text t);
size_t screen_columns(struct text t); /* of clean text: wide characters take two, combining ones none */
/* At most `columns` of clean text; what is cut ends in "..." or its character. */
void screen_fit(struct buf *out, const struct screen *screen, struct text t, size_t columns);

enum screen_colour { COLOUR_NONE, COLOUR_GREEN, COLOUR_RED, COLOUR_YELLOW, COLOUR_BOLD };
/* `t` in a colour, where the screen has colours. */
void screen_paint(struct buf *out, const struct screen *screen, enum screen_colour colour, const char *t);

struct screen_bar {
    const char *title, *message; /* clean */
    int percent;                 /* -1: not known */
    int64_t elapsed_ms;
    unsigned turn; /* of the sign that moves where no percentage is known */
};

/* The line for a bar, never wider than `width`. */
void screen_bar_line(struct buf *out, const struct screen *screen, size_t width, const struct screen_bar *bar);
void screen_bar_draw(struct screen *screen, const struct screen_bar *bar); /* in place of the last one */
void screen_bar_clear(struct screen *screen);                              /* the line is empty again */

void screen_elapsed(struct buf *out, int64_t ms); /* "12s", "3m05s", "2h00m" */

/* A table: cells are clean or made so, columns as wide as their widest cell; on a terminal the last one is cut. */
#define SCREEN_COLUMNS_MAX 12
struct screen_table {
    const struct screen *screen;
    size_t columns;
    struct arena *arena;
    char **cells;
    size_t count, room;
};
void screen_table_init(struct screen_table *table, const struct screen *screen, struct arena *arena, size_t columns);
void screen_table_add(struct screen_table *table, struct text cell);
void screen_table_print(const struct screen_table *table);

/* "stagedoor run: where: what" on stderr. */
void screen_fault(const char *command, const struct fault *fault);
void screen_say(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
