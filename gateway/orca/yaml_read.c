/* Reads YAML by libyaml's events, and builds a tree of them.
 *
 * Aliases are not copied but shared, so that a file of aliases to aliases (billion laughs) takes no more memory than
 * its own text. A merge key copies pairs, which are counted. An anchor is known once its node is whole: a node cannot
 * hold itself. What libyaml would say about bad bytes and tabs is said here in words that help.
 *
 * It knows nothing of Spinnaker: what the keys mean is found out by orca/import. */
#include "orca/yaml_read.h"

#include <string.h>
#include <strings.h>

#include <yaml.h>

struct anchor {
    const char *name;
    struct yaml *node; /* NULL: not whole yet */
};

struct reader {
    struct arena *arena;
    struct text source;
    const char *name;
    struct fault *fault;
    yaml_parser_t parser;
    size_t nodes, depth;
    struct buf anchors; /* of struct anchor; a later one of the same name wins */
};

static bool fail_at(struct reader *r, enum fault_kind kind, size_t line, size_t column, const char *what) {
    char where[256];
    snprintf(where, sizeof where, "%s:%zu:%zu", r->name, line, column);
    return fault_set(r->fault, kind, where, "%s", what);
}

static bool fail_mark(struct reader *r, enum fault_kind kind, yaml_mark_t mark, const char *what) {
    return fail_at(r, kind, mark.line + 1, mark.column + 1, what);
}

/* ---- before libyaml ---- */

static bool character_is_good(struct text rest, size_t *ret_len) {
    unsigned char c = (unsigned char)rest.at[0];
    *ret_len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') return false;
    return c != 0x7F && *ret_len <= rest.len && text_utf8_check((struct text){rest.at, *ret_len});
}

static bool check_bytes(struct reader *r) {
    size_t line = 1, column = 1, len;
    if (r->source.len > YAML_MAX_BYTES)
        return fault_set(r->fault, FAULT_TOO_LARGE, r->name, "it has more than %zu bytes", YAML_MAX_BYTES);
    for (size_t at = 0; at < r->source.len; at += len, column++) {
        struct text rest = {r->source.at + at, r->source.len - at};
        if (!character_is_good(rest, &len))
            return fail_at(r, FAULT_SYNTAX, line, column,
                           (unsigned char)rest.at[0] < 0x80 ? "a control character cannot stand in YAML"
                                                            : "this is not UTF-8");
        if (rest.at[0] == '\n') line++, column = 0;
    }
    return true;
}

/* ---- nodes ---- */

static bool fail_parser(struct reader *r) {
    yaml_parser_t *p = &r->parser;
    size_t at = p->problem_mark.index;
    if (p->error == YAML_MEMORY_ERROR) return fail_at(r, FAULT_TOO_LARGE, 1, 1, "libyaml has no memory for it");
    if (at < r->source.len && r->source.at[at] == '\t')
        return fail_mark(r, FAULT_SYNTAX, p->problem_mark, "a tab cannot stand here; YAML is indented by spaces");
    const char *context = p->context ? p->context : "", *problem = p->problem ? p->problem : "it is no YAML";
    return fail_mark(r, FAULT_SYNTAX, p->problem_mark,
                     arena_printf(r->arena, "%s%s%s", context, context[0] ? ", " : "", problem));
}

static bool count_nodes(struct reader *r, size_t more, yaml_mark_t mark) {
    r->nodes += more;
    return r->nodes <= YAML_MAX_NODES || fail_mark(r, FAULT_TOO_LARGE, mark, "more values than 100,000");
}

static struct anchor *anchors_of(const struct reader *r, size_t *ret_count) {
    *ret_count = r->anchors.len / sizeof(struct anchor);
    return (struct anchor *)(void *)r->anchors.at;
}

static bool anchor_begin(struct reader *r, const yaml_char_t *name, yaml_mark_t mark, size_t *ret_index) {
    *ret_index = SIZE_MAX;
    if (!name) return true;
    struct anchor anchor = {arena_strdup(r->arena, (const char *)name), NULL};
    anchors_of(r, ret_index);
    buf_add(&r->anchors, &anchor, sizeof anchor);
    return !r->anchors.full || fail_mark(r, FAULT_TOO_LARGE, mark, "more anchors than 1,000");
}

static void anchor_end(struct reader *r, size_t index, struct yaml *node) {
    size_t count;
    if (index != SIZE_MAX) anchors_of(r, &count)[index].node = node;
}

static struct yaml *alias_node(struct reader *r, const yaml_event_t *event) {
    size_t count;
    struct anchor *anchors = anchors_of(r, &count);
    const char *name = (const char *)event->data.alias.anchor;
    while (count-- > 0) {
        if (strcmp(anchors[count].name, name) != 0) continue;
        if (!anchors[count].node)
            fail_mark(r, FAULT_SYNTAX, event->start_mark,
                      arena_printf(r->arena, "*%s stands inside of what &%s names", name, name));
        return anchors[count].node;
    }
    fail_mark(r, FAULT_SYNTAX, event->start_mark, arena_printf(r->arena, "there is no &%s above this *%s", name, name));
    return NULL;
}

static struct yaml *new_node(struct reader *r, enum yaml_kind kind, const yaml_event_t *event) {
    struct yaml *node = arena_new_of(r->arena, struct yaml);
    node->kind = kind;
    node->line = node->text_line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    return node;
}

static struct yaml *text_node(struct reader *r, const yaml_event_t *event) {
    struct yaml *node = new_node(r, YAML_TEXT, event);
    size_t len = event->data.scalar.length, index;
    const char *value = (const char *)event->data.scalar.value;
    yaml_scalar_style_t style = event->data.scalar.style;
    if (memchr(value, 0, len)) {
        fail_mark(r, FAULT_INVALID, event->start_mark, "a text cannot hold the character NUL");
        return NULL;
    }
    node->text = (struct text){arena_strndup(r->arena, value, len), len};
    node->plain = style == YAML_PLAIN_SCALAR_STYLE;
    node->folded = style == YAML_FOLDED_SCALAR_STYLE;
    if (style == YAML_LITERAL_SCALAR_STYLE || node->folded) node->text_line++;
    if (!anchor_begin(r, event->data.scalar.anchor, event->start_mark, &index)) return NULL;
    anchor_end(r, index, node);
    return node;
}

static struct yaml *read_node(struct reader *r, yaml_event_t *event);

/* The next node of a list or mapping, or *ret_end. False after a fault. */
static bool next_node(struct reader *r, yaml_event_type_t end, struct yaml **ret_node, bool *ret_end) {
    yaml_event_t event;
    if (!yaml_parser_parse(&r->parser, &event)) return fail_parser(r);
    *ret_end = event.type == end;
    if (*ret_end) yaml_event_delete(&event);
    else *ret_node = read_node(r, &event);
    return *ret_end || *ret_node;
}

static bool read_list(struct reader *r, struct yaml *list) {
    struct buf items;
    struct yaml *item = NULL;
    bool end = false, good;
    buf_init(&items, (YAML_MAX_NODES + 1) * sizeof item);
    while ((good = next_node(r, YAML_SEQUENCE_END_EVENT, &item, &end)) && !end) buf_add(&items, &item, sizeof item);
    list->count = items.len / sizeof item;
    list->items = arena_copy(r->arena, buf_text(&items).at, items.len);
    buf_fini(&items);
    return good;
}

static struct yaml_pair *find_pair(const struct buf *pairs, struct text key) {
    struct yaml_pair *all = (struct yaml_pair *)(void *)pairs->at;
    for (size_t i = 0; i < pairs->len / sizeof *all; i++)
        if (text_same(all[i].key->text, key)) return &all[i];
    return NULL;
}

static bool fail_node(struct reader *r, const struct yaml *node, const char *what) {
    return fail_at(r, FAULT_INVALID, (size_t)node->line, (size_t)node->column, what);
}

static bool is_merge(const struct yaml *key) {
    return key->plain && text_is(key->text, "<<");
}

static bool add_pair(struct reader *r, struct buf *pairs, const struct yaml *key, const struct yaml *value) {
    struct yaml_pair pair = {key, value};
    if (key->kind != YAML_TEXT) return fail_node(r, key, "a key has to be a text");
    const struct yaml_pair *before = find_pair(pairs, key->text);
    if (before)
        return fail_node(r, key,
                         arena_printf(r->arena, "the key %.*s stands here a second time; the first is in line %d",
                                      TEXT_ARG(key->text), before->key->line));
    buf_add(pairs, &pair, sizeof pair);
    return !pairs->full ||
           fail_at(r, FAULT_TOO_LARGE, (size_t)key->line, (size_t)key->column, "more keys than 2,000 in one mapping");
}

/* What << names is there unless the mapping says otherwise: also before its own keys are known. */
static bool merge(struct reader *r, struct buf *pairs, const struct yaml *at, const struct yaml *from) {
    if (from->kind == YAML_LIST) {
        for (size_t i = 0; i < from->count; i++)
            if (from->items[i]->kind != YAML_MAP || !merge(r, pairs, at, from->items[i]))
                return from->items[i]->kind == YAML_MAP ? false : fail_node(r, at, "<< takes mappings");
        return true;
    }
    if (from->kind != YAML_MAP) return fail_node(r, at, "<< takes a mapping, or a list of mappings");
    yaml_mark_t mark = {0, (size_t)at->line - 1, (size_t)at->column - 1};
    for (size_t i = 0; i < from->count; i++) {
        if (find_pair(pairs, from->pairs[i].key->text)) continue;
        if (!count_nodes(r, 1, mark) || !add_pair(r, pairs, from->pairs[i].key, from->pairs[i].value)) return false;
    }
    return true;
}

static bool read_map(struct reader *r, struct yaml *map) {
    struct buf pairs;
    struct yaml *key = NULL, *value = NULL;
    const struct yaml *merge_key = NULL, *merged = NULL;
    bool end = false, good;
    buf_init(&pairs, YAML_MAX_KEYS * sizeof(struct yaml_pair));
    while ((good = next_node(r, YAML_MAPPING_END_EVENT, &key, &end)) && !end) {
        bool none;
        if (!(good = next_node(r, YAML_NO_EVENT, &value, &none))) break;
        if (key->kind == YAML_TEXT && is_merge(key) && !merged) merge_key = key, merged = value;
        else if (!(good = add_pair(r, &pairs, key, value))) break;
    }
    if (good && merged) good = merge(r, &pairs, merge_key, merged);
    map->count = pairs.len / sizeof *map->pairs;
    map->pairs = arena_copy(r->arena, buf_text(&pairs).at, pairs.len);
    buf_fini(&pairs);
    return good;
}

static struct yaml *collection_node(struct reader *r, const yaml_event_t *event) {
    bool list = event->type == YAML_SEQUENCE_START_EVENT;
    struct yaml *node = new_node(r, list ? YAML_LIST : YAML_MAP, event);
    size_t index;
    if (r->depth >= YAML_MAX_DEPTH) {
        fail_mark(r, FAULT_TOO_LARGE, event->start_mark, "more than 64 levels inside each other");
        return NULL;
    }
    if (!anchor_begin(r, list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor, event->start_mark,
                      &index))
        return NULL;
    r->depth++;
    bool good = list ? read_list(r, node) : read_map(r, node);
    r->depth--;
    anchor_end(r, index, node);
    return good ? node : NULL;
}

/* TAKES what the event holds. */
static struct yaml *read_node(struct reader *r, yaml_event_t *event) {
    struct yaml *node = NULL;
    if (count_nodes(r, 1, event->start_mark)) {
        if (event->type == YAML_ALIAS_EVENT) node = alias_node(r, event);
        else if (event->type == YAML_SCALAR_EVENT) node = text_node(r, event);
        else node = collection_node(r, event);
    }
    yaml_event_delete(event);
    return node;
}

/* ---- documents ---- */

static bool read_documents(struct reader *r, struct buf *documents) {
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) return fail_parser(r);
        yaml_event_type_t type = event.type;
        yaml_mark_t mark = event.start_mark;
        if (type == YAML_STREAM_END_EVENT || type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&event);
            if (type == YAML_DOCUMENT_START_EVENT) buf_clear(&r->anchors);
            if (type == YAML_STREAM_END_EVENT) return true;
            continue;
        }
        struct yaml *root = read_node(r, &event);
        if (!root) return false;
        buf_add(documents, &root, sizeof root);
        if (documents->full) return fail_mark(r, FAULT_TOO_LARGE, mark, "more than 100 documents");
    }
}

bool yaml_read(struct arena *arena, struct text source, const char *name, struct yaml ***ret_documents,
               size_t *ret_count, struct fault *fault) {
    struct reader r = {.arena = arena, .source = source, .name = name, .fault = fault};
    struct buf documents;
    if (text_starts(source, "\xEF\xBB\xBF")) r.source = (struct text){source.at + 3, source.len - 3};
    if (!check_bytes(&r)) return false;
    if (!yaml_parser_initialize(&r.parser)) return fail_at(&r, FAULT_TOO_LARGE, 1, 1, "libyaml has no memory for it");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(r.source.at ? r.source.at : ""), r.source.len);
    buf_init(&r.anchors, 1000 * sizeof(struct anchor));
    buf_init(&documents, YAML_MAX_DOCUMENTS * sizeof(struct yaml *));
    bool good = read_documents(&r, &documents);
    *ret_count = documents.len / sizeof(struct yaml *);
    *ret_documents = arena_copy(arena, buf_text(&documents).at, documents.len);
    buf_fini(&documents);
    buf_fini(&r.anchors);
    yaml_parser_delete(&r.parser);
    return good;
}

/* ---- reading ---- */

const struct yaml *yaml_get(const struct yaml *map, const char *key) {
    if (!map || map->kind != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (text_is(map->pairs[i].key->text, key)) return map->pairs[i].value;
    return NULL;
}

bool yaml_is_null(const struct yaml *value) {
    if (!value) return true;
    if (value->kind != YAML_TEXT || !value->plain) return false;
    struct text t = value->text;
    return t.len == 0 || text_is(t, "~") || text_is(t, "null") || text_is(t, "Null") || text_is(t, "NULL");
}

struct text yaml_as_text(const struct yaml *value) {
    static const char *const truths[] = {"yes", "on", "true"}, *const lies[] = {"no", "off", "false"};
    if (!value || value->kind != YAML_TEXT) return (struct text){"", 0};
    for (size_t i = 0; value->plain && i < 3; i++) {
        if (text_is_nocase(value->text, truths[i])) return TEXT("true");
        if (text_is_nocase(value->text, lies[i])) return TEXT("false");
    }
    return value->text;
}
