/* What is printed, and how it fits.
 *
 * Two kinds of reader: a person at a terminal, who gets a bar that is redrawn in place, colours, and lines cut to the
 * window; and a program or a log behind a pipe, which gets whole lines and not a single escape sequence. A bar is
 * redrawn with a carriage return and blanks only, so that NO_COLOR costs nothing but the colours.
 *
 * Messages, outputs and names come from upstreams that nobody here trusts, and a terminal obeys what it is sent. So
 * everything foreign passes screen_clean on its way out. */
#include "cli/screen.h"

#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { LINE_MAX_BYTES = 16 * 1024, WIDTH_UNKNOWN = 80, BAR_MOST = 30 };

static bool says_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

void screen_init(struct screen *screen, FILE *to) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool terminal = isatty(fileno(to)) && term && *term && strcmp(term, "dumb") != 0;
    *screen = (struct screen){.to = to, .terminal = terminal, .utf8 = says_utf8()};
    screen->colour = terminal && !(no_color && *no_color);
    setlocale(LC_CTYPE, "C.UTF-8"); /* for wcwidth; numbers keep their point */
}

size_t screen_width(const struct screen *screen) {
    struct winsize size;
    if (ioctl(fileno(screen->to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return WIDTH_UNKNOWN;
}

bool screen_broken(const struct screen *screen) {
    return ferror(screen->to) != 0;
}

/* The character at t, and its length; a byte that begins none stands for U+FFFD. */
static size_t character(struct text t, wchar_t *ret_c) {
    mbstate_t state = {0};
    size_t n = mbrtowc(ret_c, t.at, t.len, &state);
    if (n != (size_t)-1 && n != (size_t)-2) return n ? n : 1;
    *ret_c = 0xFFFD;
    return 1;
}

static bool is_steering(wchar_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || (c >= 0x200E && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

void screen_clean(struct buf *out, const struct screen *screen, struct text t) {
    while (t.len) {
        wchar_t c;
        size_t n = character(t, &c);
        if (c == '\n' || c == '\t' || c == '\r' || c == 0x2028 || c == 0x2029) buf_addc(out, ' ');
        else if (c == 0xFFFD || is_steering(c) || (c > 0x7E && !screen->utf8)) buf_addc(out, '?');
        else buf_add(out, t.at, n);
        t.at += n, t.len -= n;
    }
}

size_t screen_columns(struct text t) {
    size_t columns = 0;
    while (t.len) {
        wchar_t c;
        size_t n = character(t, &c);
        int width = wcwidth(c);
        columns += width < 0 ? 1 : (size_t)width;
        t.at += n, t.len -= n;
    }
    return columns;
}

static size_t bytes_within(struct text t, size_t columns) {
    size_t used = 0, bytes = 0;
    while (bytes < t.len) {
        wchar_t c;
        size_t n = character((struct text){t.at + bytes, t.len - bytes}, &c);
        int width = wcwidth(c);
        used += width < 0 ? 1 : (size_t)width;
        if (used > columns) break;
        bytes += n;
    }
    return bytes;
}

void screen_fit(struct buf *out, const struct screen *screen, struct text t, size_t columns) {
    if (screen_columns(t) <= columns) {
        buf_addt(out, t);
        return;
    }
    const char *more = screen->utf8 ? "…" : "...";
    size_t room = screen_columns(text_of(more));
    if (columns < room) return;
    buf_add(out, t.at, bytes_within(t, columns - room));
    buf_adds(out, more);
}

void screen_paint(struct buf *out, const struct screen *screen, enum screen_colour colour, const char *t) {
    static const char *const codes[] = {"", "\033[32m", "\033[31m", "\033[33m", "\033[1m"};
    bool paint = screen->colour && colour != COLOUR_NONE;
    if (paint) buf_adds(out, codes[colour]);
    buf_adds(out, t);
    if (paint) buf_adds(out, "\033[0m");
}

void screen_elapsed(struct buf *out, int64_t ms) {
    int64_t s = ms < 0 ? 0 : ms / 1000;
    if (s < 60) buf_addf(out, "%llds", (long long)s);
    else if (s < 3600) buf_addf(out, "%lldm%02llds", (long long)(s / 60), (long long)(s % 60));
    else buf_addf(out, "%lldh%02lldm", (long long)(s / 3600), (long long)(s / 60 % 60));
}

static void add_cells(struct buf *out, const struct screen *screen, size_t width, int percent) {
    size_t full = width * (size_t)percent / 100;
    buf_addc(out, '[');
    for (size_t i = 0; i < width; i++) buf_adds(out, screen->utf8 ? (i < full ? "█" : "░") : (i < full ? "#" : "-"));
    buf_addf(out, "] %3d %%", percent);
}

void screen_bar_line(struct buf *out, const struct screen *screen, size_t width, const struct screen_bar *bar) {
    enum { CELLS_LEAST = 8 };
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    size_t title = screen_columns(text_of(bar->title));
    if (title && title + 20 <= width) buf_addf(&line, "%s ", bar->title);
    size_t left = width > screen_columns(buf_text(&line)) ? width - screen_columns(buf_text(&line)) : 0;
    size_t cells = left / 3 > BAR_MOST ? BAR_MOST : left / 3;
    int percent = bar->percent > 100 ? 100 : bar->percent;
    if (percent >= 0 && cells >= CELLS_LEAST) add_cells(&line, screen, cells, percent);
    else if (percent >= 0) buf_addf(&line, "%d %%", percent);
    else buf_addc(&line, "|/-\\"[bar->turn % 4]);
    buf_addc(&line, ' ');
    screen_elapsed(&line, bar->elapsed_ms);
    if (bar->message[0]) buf_addf(&line, "  %s", bar->message);
    screen_fit(out, screen, buf_text(&line), width);
    buf_fini(&line);
}

/* Over what stands there: a carriage return, the text, and blanks to the end of the old text. */
static void redraw(struct screen *screen, struct text line) {
    size_t columns = screen_columns(line), blanks = screen->drawn > columns ? screen->drawn - columns : 0;
    fprintf(screen->to, "\r%.*s%*s", TEXT_ARG(line), (int)blanks, "");
    if (blanks || !columns) fprintf(screen->to, "\r%.*s", TEXT_ARG(line));
    fflush(screen->to);
    screen->drawn = columns;
}

void screen_bar_draw(struct screen *screen, const struct screen_bar *bar) {
    struct buf line;
    size_t width = screen_width(screen);
    buf_init(&line, LINE_MAX_BYTES);
    screen_bar_line(&line, screen, width > 1 ? width - 1 : 1, bar); /* the last column makes some terminals wrap */
    redraw(screen, buf_text(&line));
    buf_fini(&line);
}

void screen_bar_clear(struct screen *screen) {
    if (screen->drawn) redraw(screen, TEXT(""));
}

void screen_table_init(struct screen_table *table, const struct screen *screen, struct arena *arena, size_t columns) {
    *table = (struct screen_table){.screen = screen, .columns = columns, .arena = arena};
}

void screen_table_add(struct screen_table *table, struct text cell) {
    struct buf clean;
    buf_init(&clean, LINE_MAX_BYTES);
    screen_clean(&clean, table->screen, cell);
    if (table->count == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        char **cells = arena_array_of(table->arena, char *, room);
        if (table->count) memcpy(cells, table->cells, table->count * sizeof *cells);
        table->cells = cells, table->room = room;
    }
    table->cells[table->count++] = arena_strndup(table->arena, buf_cstr(&clean), clean.len);
    buf_fini(&clean);
}

static void measure(const struct screen_table *table, size_t widths[SCREEN_COLUMNS_MAX]) {
    for (size_t i = 0; i < table->count; i++) {
        size_t columns = screen_columns(text_of(table->cells[i])), *width = &widths[i % table->columns];
        if (columns > *width) *width = columns;
    }
}

void screen_table_print(const struct screen_table *table) {
    size_t widths[SCREEN_COLUMNS_MAX] = {0};
    measure(table, widths);
    struct buf line;
    buf_init(&line, 16 * LINE_MAX_BYTES);
    for (size_t i = 0; i < table->count; i++) {
        bool last = (i + 1) % table->columns == 0;
        buf_adds(&line, table->cells[i]);
        if (!last) {
            for (size_t n = screen_columns(text_of(table->cells[i])); n < widths[i % table->columns] + 2; n++)
                buf_addc(&line, ' ');
            continue;
        }
        while (line.len && line.at[line.len - 1] == ' ') line.at[--line.len] = 0;
        struct buf fitted;
        buf_init(&fitted, 16 * LINE_MAX_BYTES);
        screen_fit(&fitted, table->screen, buf_text(&line),
                   table->screen->terminal ? screen_width(table->screen) : line.len);
        fprintf(table->screen->to, "%s\n", buf_cstr(&fitted));
        buf_fini(&fitted);
        buf_clear(&line);
    }
    buf_fini(&line);
}

void screen_say(const char *command, const char *format, ...) {
    struct screen screen;
    struct buf line, clean;
    va_list args;
    screen_init(&screen, stderr);
    buf_init(&line, LINE_MAX_BYTES);
    buf_init(&clean, 4 * LINE_MAX_BYTES);
    va_start(args, format);
    buf_addv(&line, format, args);
    va_end(args);
    screen_clean(&clean, &screen, buf_text(&line));
    fprintf(stderr, "stagedoor %s: %s\n", command, buf_cstr(&clean));
    buf_fini(&line);
    buf_fini(&clean);
}

void screen_fault(const char *command, const struct fault *fault) {
    screen_say(command, "%s%s%s", fault->where, fault->where[0] ? ": " : "", fault->what);
    struct text rest = text_of(fault->lines), line;
    struct screen screen;
    screen_init(&screen, stderr);
    while (fault->lines[0] && text_cut(&rest, '\n', &line)) {
        struct buf clean;
        buf_init(&clean, 4 * LINE_MAX_BYTES);
        screen_clean(&clean, &screen, line);
        fprintf(stderr, "    %s\n", buf_cstr(&clean));
        buf_fini(&clean);
    }
}
