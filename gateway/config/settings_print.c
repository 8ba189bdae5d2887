/* What there is to be set, for people: a stagedoor.conf with every default, and the flags for --help.
 *
 * All of it is in the table of config/settings.h; here is how it looks. */
#include "config/settings_inside.h"

#include <string.h>

static void add_wrapped(struct buf *out, const char *prefix, const char *text) {
    enum { WIDTH = 100 };
    struct text rest = text_of(text), word;
    size_t column = WIDTH;
    for (bool first = true; text_cut(&rest, ' ', &word); first = false) {
        if (column + 1 + word.len > WIDTH) {
            buf_addf(out, "%s%s", first ? "" : "\n", prefix);
            column = strlen(prefix);
        } else {
            buf_addc(out, ' ');
            column++;
        }
        buf_addt(out, word);
        column += word.len;
    }
    buf_addc(out, '\n');
}

static const char *allowed_shown(size_t row, struct buf *room) {
    const struct settings_row *r = &settings_rows[row];
    const char *dots = strstr(r->allowed, "..");
    if (!r->allowed[0]) return "";
    if (dots) buf_addf(room, " %.*s to %s.", (int)(dots - r->allowed), r->allowed, dots + 2);
    struct text rest = text_of(r->allowed), word;
    for (bool first = true; !dots && text_cut(&rest, '|', &word); first = false)
        buf_addf(room, "%s%.*s", first ? " One of " : ", ", TEXT_ARG(word));
    if (!dots) buf_addc(room, '.');
    return buf_cstr(room);
}

static void add_preset(struct buf *out, size_t row) {
    const struct settings_row *r = &settings_rows[row];
    switch (settings_members[row].kind) {
    case SETTINGS_KIND_BOOL:
    case SETTINGS_KIND_INTEGER: buf_adds(out, r->preset); break;
    case SETTINGS_KIND_LIST: buf_addf(out, "[ \"%s\" ]", r->preset); break;
    case SETTINGS_KIND_UPSTREAMS: buf_adds(out, "( )"); break;
    default: buf_addf(out, "\"%s\"", r->preset);
    }
}

void settings_print_sample(struct buf *out) {
    buf_adds(out, "# stagedoor.conf: every option with its default. What a line sets can be left out.\n"
                  "# Each one is also a flag (--max-runs 5) and an environment variable (STAGEDOOR_MAX_RUNS=5);\n"
                  "# a flag wins over the environment, and the environment over this file. Relative paths lie\n"
                  "# beside this file. [reload]: a change takes effect with SIGHUP; the others need a restart.\n");
    const char *group = "";
    for (size_t row = 0; row < SETTINGS_ROWS; row++) {
        const struct settings_row *r = &settings_rows[row];
        struct buf help;
        buf_init(&help, 4096);
        struct buf room;
        buf_init(&room, 256);
        buf_addf(&help, "%s%s%s", r->help, allowed_shown(row, &room), r->reload ? " [reload]" : "");
        if (strcmp(group, r->group) != 0) buf_addf(out, "\n# ---- %s ----\n", r->group);
        group = r->group;
        buf_addc(out, '\n');
        add_wrapped(out, "# ", buf_cstr(&help));
        buf_addf(out, "%s = ", r->name);
        add_preset(out, row);
        buf_adds(out, ";\n");
        buf_fini(&room);
        buf_fini(&help);
    }
}

static const char *value_word(enum settings_kind kind) {
    switch (kind) {
    case SETTINGS_KIND_LIST: return " VALUE,…";
    case SETTINGS_KIND_UPSTREAMS: return " HOST LIMIT=VALUE …,…";
    case SETTINGS_KIND_PATH: return " PATH";
    case SETTINGS_KIND_BOOL: return "";
    case SETTINGS_KIND_INTEGER: return " N";
    case SETTINGS_KIND_DURATION: return " TIME";
    case SETTINGS_KIND_SIZE: return " SIZE";
    case SETTINGS_KIND_CHOICE: return " WORD";
    default: return " TEXT";
    }
}

void settings_print_help(struct buf *out) {
    struct arena *arena = arena_new();
    buf_adds(out,
             "  -c, --config PATH\n      The file that holds options. Default: stagedoor.conf, where it exists.\n");
    for (size_t row = 0; row < SETTINGS_ROWS; row++) {
        const struct settings_row *r = &settings_rows[row];
        buf_addf(out, "  %s%s\n", settings_flag_name(arena, r->name), value_word(settings_members[row].kind));
        struct buf room;
        buf_init(&room, 256);
        const char *allowed = allowed_shown(row, &room);
        add_wrapped(out, "      ",
                    r->preset[0] ? arena_printf(arena, "%s%s Default: %s.", r->help, allowed, r->preset)
                                 : arena_printf(arena, "%s%s", r->help, allowed));
        buf_fini(&room);
    }
    arena_free(arena);
}
