/* A log in, outputs out: lines that begin with SPINNAKER_PROPERTY_ or SPINNAKER_CONFIG_JSON=.
 *
 * First the log is made plain text. A container engine sends the two streams of a container in frames of 8 bytes of
 * head and up to 16 KiB of content, and cuts lines wherever a frame is full; so each stream is put together by itself,
 * and a line counts where it ends. Then lines are looked at one by one. Ceilings hold whatever a job prints: on names,
 * on their bytes, on JSON that is parsed, on warnings. Warnings quote nothing: the line may hold what is no caller's
 * business, and its number is enough to find it.
 *
 * What differs from Spinnaker's own (clouddriver's PropertyParser): a prefix in the middle of a line is no property; a
 * name keeps its case, and the lower-cased one is given besides; an empty value is a value; a line that cannot be read
 * does not spoil the others. */
#include "call/capture.h"

#include <string.h>

#define PROPERTY "SPINNAKER_PROPERTY_"
#define CONFIG "SPINNAKER_CONFIG_JSON="
#define FRAME_HEAD 8

struct reading {
    struct arena *arena;
    struct json *values, *warnings;
    size_t line; /* from 1 */
    size_t names, bytes, silent;
    bool full;
};

/* ---- warnings ---- */

static void warn(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct reading *r, const char *format, ...) {
    if (json_size(r->warnings) >= CAPTURE_WARNINGS_MAX) {
        r->silent++;
        return;
    }
    va_list args;
    va_start(args, format);
    json_push(r->warnings, json_new_string(r->arena, arena_vprintf(r->arena, format, args)));
    va_end(args);
}

/* ---- frames (Docker Engine API, "ContainerAttach": stream format) ---- */

struct frame {
    unsigned stream; /* 0: standard output, 1: standard error */
    struct text content;
    bool cut; /* there is less content than the head announces */
};

static bool frame_take(struct text *rest, struct frame *ret_frame) {
    const unsigned char *head = (const unsigned char *)rest->at;
    if (rest->len < FRAME_HEAD || head[0] > 3 || head[1] || head[2] || head[3]) return false;
    size_t size = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
    size_t left = rest->len - FRAME_HEAD, len = size < left ? size : left;
    *ret_frame = (struct frame){.stream = head[0] >= 2, .content = {rest->at + FRAME_HEAD, len}, .cut = size > left};
    rest->at += FRAME_HEAD + len;
    rest->len -= FRAME_HEAD + len;
    return true;
}

static void add_part(struct buf *log, struct buf *open, struct text content) {
    const char *end = content.len ? memrchr(content.at, '\n', content.len) : NULL;
    size_t whole = end ? (size_t)(end - content.at) + 1 : 0;
    if (whole) {
        buf_addt(log, buf_text(open));
        buf_clear(open);
        buf_add(log, content.at, whole);
    }
    buf_add(open, content.at + whole, content.len - whole);
}

static void add_rest(struct buf *log, struct buf *open) {
    if (open->len && log->len && log->at[log->len - 1] != '\n') buf_addc(log, '\n');
    buf_addt(log, buf_text(open));
}

static struct text take_apart(struct reading *r, struct text body) {
    struct buf log, open[2];
    struct text rest = body;
    struct frame frame = {0};
    buf_init(&log, body.len + 1);
    for (int i = 0; i < 2; i++) buf_init(&open[i], body.len);
    while (frame_take(&rest, &frame)) add_part(&log, &open[frame.stream], frame.content);
    for (int i = 0; i < 2; i++) add_rest(&log, &open[i]);
    if (frame.cut) warn(r, "the log ends within a frame");
    else if (rest.len)
        warn(r, "there is no frame at byte %zu of the log; what stands from there on is left out", body.len - rest.len);
    struct text text = {arena_strndup(r->arena, buf_cstr(&log), log.len), log.len};
    for (int i = 0; i < 2; i++) buf_fini(&open[i]);
    buf_fini(&log);
    return text;
}

/* A container with a terminal has one stream, which no engine frames: its log begins with a character. */
static bool is_framed(const struct stage_capture *how, const struct reply *reply) {
    struct frame frame;
    struct text body = reply->body, type = text_of(reply_header(reply, "Content-Type")), essence = {0};
    if (how->framing == FRAMING_NONE) return false;
    text_cut(&type, ';', &essence);
    bool said = text_is_nocase(text_trim(essence), "application/vnd.docker.multiplexed-stream");
    return (said || how->framing == FRAMING_DOCKER) && frame_take(&body, &frame);
}

/* ---- lines ---- */

static bool name_check(struct text name) {
    bool good = name.len > 0 && name.len <= CAPTURE_NAME_MAX && text_utf8_check(name);
    for (size_t i = 0; good && i < name.len; i++) good = (unsigned char)name.at[i] > ' ' && name.at[i] != 0x7F;
    return good;
}

/* False, and no more is taken, where there is too much. A name that is there already takes no place of its own. */
static bool make_room(struct reading *r, struct text name, size_t bytes) {
    if (name.len && !json_get(r->values, name)) r->names++;
    r->bytes += bytes;
    if (r->names <= CAPTURE_NAMES_MAX && r->bytes <= CAPTURE_BYTES_MAX) return true;
    warn(r, "line %zu: more than %d names or %d KiB; this and what follows is left out", r->line, CAPTURE_NAMES_MAX,
         CAPTURE_BYTES_MAX / 1024);
    r->full = true;
    return false;
}

static struct text lower_case(struct arena *arena, struct text name) {
    char *lower = arena_strndup(arena, name.at, name.len);
    for (size_t i = 0; i < name.len; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z') lower[i] = (char)(lower[i] - 'A' + 'a');
    return (struct text){lower, name.len};
}

static void read_property(struct reading *r, struct text rest) {
    struct text name;
    if (!memchr(rest.at, '=', rest.len)) {
        warn(r, "line %zu: " PROPERTY " has no = behind its name", r->line);
        return;
    }
    text_cut(&rest, '=', &name);
    name = text_trim(name);
    if (!name_check(name)) {
        warn(r, "line %zu: the name behind " PROPERTY " is empty, longer than %d bytes, or has blanks in it", r->line,
             CAPTURE_NAME_MAX);
        return;
    }
    if (!make_room(r, name, name.len + rest.len)) return;
    const struct json *value = json_new_text(r->arena, text_trim(rest));
    json_set_text(r->values, name, value);
    json_set_text(r->values, lower_case(r->arena, name), value);
}

static void read_members(struct reading *r, const struct json *object) {
    for (struct json_member m = json_first(object); m.name.at && !r->full; m = json_next(object, m)) {
        if (!name_check(m.name))
            warn(r, "line %zu: a name in " CONFIG " is empty, longer than %d bytes, or has blanks in it", r->line,
                 CAPTURE_NAME_MAX);
        else if (make_room(r, m.name, 0)) json_set_text(r->values, m.name, m.value);
    }
}

static void read_config(struct reading *r, struct text rest) {
    struct json_limits limits = {.max_bytes = CAPTURE_JSON_MAX, .max_depth = 32, .max_items = 10000};
    struct fault fault;
    if (!make_room(r, (struct text){0}, rest.len)) return; /* its members are counted one by one */
    const struct json *object = json_parse(r->arena, rest, &limits, &fault);
    if (!object && fault.kind == FAULT_TOO_LARGE)
        warn(r, "line %zu: what follows " CONFIG " is too large: %d KiB, 10000 values and 32 levels are possible",
             r->line, CAPTURE_JSON_MAX / 1024);
    else if (json_kind(object) != JSON_OBJECT)
        warn(r, "line %zu: what follows " CONFIG " is not a JSON object", r->line);
    else read_members(r, object);
}

static void read_line(struct reading *r, struct text line) {
    line = text_trim(line);
    if (text_starts(line, PROPERTY)) {
        size_t len = strlen(PROPERTY);
        read_property(r, (struct text){line.at + len, line.len - len});
    } else if (text_starts(line, CONFIG)) {
        size_t len = strlen(CONFIG);
        read_config(r, (struct text){line.at + len, line.len - len});
    }
}

void capture_read(struct arena *arena, const struct stage_capture *how, const struct reply *reply,
                  struct captured *ret_captured) {
    struct reading r = {.arena = arena, .values = json_new_object(arena), .warnings = json_new_array(arena)};
    struct text log = is_framed(how, reply) ? take_apart(&r, reply->body) : reply->body, rest = log, line;
    while (!r.full && text_cut(&rest, '\n', &line)) {
        r.line++;
        read_line(&r, line);
    }
    if (r.silent)
        json_push(r.warnings, json_new_string(arena, arena_printf(arena, "and %zu further warnings", r.silent)));
    *ret_captured = (struct captured){.log = log, .values = r.values, .warnings = r.warnings};
}
