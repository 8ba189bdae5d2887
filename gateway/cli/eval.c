/* `stagedoor eval`: tries a template or a JSONPath without a gateway.
 *
 * It calls the same compiler and the same renderer as the gateway does, so that what is seen here is what will be sent.
 * The members of --vars stand for the names that a definition offers ("parameters", "request", …); any name may be
 * given. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/jsonpath.h"
#include "lang/template.h"

struct eval_options {
    const char *vars, *place;
    bool json, paths;
};

static const struct args_option options[] = {
    {'v', "vars", ARGS_TEXT, "JSON", offsetof(struct eval_options, vars),
     "template: the names it may use, an object; @FILE reads it", 0, 0},
    {'p', "place", ARGS_TEXT, "PLACE", offsetof(struct eval_options, place),
     "template: json, xml, url, header, form or text (default: text)", 0, 0},
    {0, "paths", ARGS_FLAG, NULL, offsetof(struct eval_options, paths),
     "jsonpath: the normalised path in front of each node", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct eval_options, json), "print an object: result, or fault", 0, 0},
};

static const struct args_command command = {
    "eval",
    "template FILE | jsonpath PATH [FILE]",
    "Tries a template with the values of --vars, or a JSONPath on a JSON text (stdin, or FILE).\n"
    "FILE may be - for stdin. A template whose FILE ends in .json is taken for JSON.\n"
    "A JSONPath prints one node a line; with --paths its path and a tab in front.\n\n"
    "exit status: 0 done, 1 it fails with these values, or finds nothing,\n"
    "             2 usage, or it does not compile\n",
    options,
    sizeof options / sizeof *options,
    1,
    3};

enum { RESULT_MAX_BYTES = 64 * 1024 * 1024 };

static const struct {
    const char *word;
    enum template_place place;
} places[] = {{"text", PLACE_TEXT},     {"json", PLACE_JSON}, {"url", PLACE_URL},
              {"header", PLACE_HEADER}, {"form", PLACE_FORM}, {"xml", PLACE_XML}};
enum { PLACE_COUNT = sizeof places / sizeof *places };

static bool choose_place(const char *word, const char *file, enum template_place *ret_place, int *ret_exit) {
    size_t length = strlen(file);
    *ret_place = length > 5 && strcmp(file + length - 5, ".json") == 0 ? PLACE_JSON : PLACE_TEXT;
    if (!word) return true;
    const char *names[PLACE_COUNT];
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        names[i] = places[i].word;
        *ret_place = places[i].place;
        if (strcmp(word, places[i].word) == 0) return true;
    }
    const char *nearest = text_nearest(word, names, PLACE_COUNT);
    *ret_exit = nearest ? args_wrong("eval", "no such place: \"%s\" (did you mean %s?)", word, nearest)
                        : args_wrong("eval", "no such place: \"%s\"; there are json, xml, url, header, form and text",
                                     word);
    return false;
}

static int report_fault(const struct eval_options *given, struct arena *arena, const struct fault *fault, int status) {
    if (!given->json) {
        screen_fault("eval", fault);
        return status;
    }
    struct json *outer = json_new_object(arena), *inner = json_new_object(arena);
    json_set(inner, "kind", json_new_string(arena, fault_word(fault->kind)));
    json_set(inner, "where", json_new_string(arena, fault->where));
    json_set(inner, "what", json_new_string(arena, fault->what));
    if (fault->lines[0]) json_set(inner, "lines", json_new_string(arena, fault->lines));
    json_set(outer, "fault", inner);
    report_print_json(stdout, outer);
    return status;
}

static const struct json *read_vars(struct arena *arena, const char *vars, struct fault *fault) {
    if (!vars) return json_new_object(arena);
    const struct json *value = vars[0] == '@' ? input_json_file(arena, vars + 1, fault)
                                              : input_json(arena, text_of(vars), "--vars", fault);
    if (value && json_kind(value) != JSON_OBJECT) {
        fault_set(fault, FAULT_INVALID, "--vars", "it has to be an object, not %s", json_kind_word(json_kind(value)));
        return NULL;
    }
    return value;
}

/* The members of the variables as the roots of a template. */
struct roots {
    const char **names;
    const struct json **values;
    size_t count;
};

static void take_roots(struct arena *arena, const struct json *vars, struct roots *roots) {
    roots->names = arena_array_of(arena, const char *, json_size(vars) + 1);
    roots->values = arena_array_of(arena, const struct json *, json_size(vars) + 1);
    for (struct json_member m = json_first(vars); m.name.at; m = json_next(vars, m)) {
        roots->names[roots->count] = arena_strndup(arena, m.name.at, m.name.len);
        roots->values[roots->count++] = m.value;
    }
}

static void print_rendered(const struct eval_options *given, struct arena *arena, const struct buf *rendered) {
    if (!given->json) {
        fwrite(buf_text(rendered).at, 1, rendered->len, stdout);
        struct screen screen;
        screen_init(&screen, stdout);
        if (screen.terminal && rendered->len && rendered->at[rendered->len - 1] != '\n') fputc('\n', stdout);
        return;
    }
    struct json *outer = json_new_object(arena);
    json_set(outer, "result", json_new_text(arena, buf_text(rendered)));
    report_print_json(stdout, outer);
}

/* Parts are read from where the template is. */
struct parts {
    struct arena *arena;
    const char *file;
};

static bool read_part(void *arg, const char *name, const char **ret_file, struct text *ret_text, struct fault *fault) {
    struct parts *parts = arg;
    const char *slash = strrchr(parts->file, '/');
    struct buf text;
    *ret_file = arena_printf(parts->arena, "%.*s%s", slash ? (int)(slash + 1 - parts->file) : 0, parts->file, name);
    buf_init(&text, INPUT_MAX_BYTES);
    bool good = strcmp(*ret_file, "-") != 0 && input_read(*ret_file, &text, fault);
    if (good) *ret_text = (struct text){arena_strndup(parts->arena, buf_text(&text).at, text.len), text.len};
    buf_fini(&text);
    return good;
}

static int render(const struct eval_options *given, struct arena *arena, const char *file, enum template_place place,
                  struct buf *source, struct buf *rendered) {
    struct fault fault;
    struct roots roots = {0};
    const struct json *vars = read_vars(arena, given->vars, &fault);
    if (!vars || !input_read(file, source, &fault)) return report_fault(given, arena, &fault, EXIT_USAGE);
    take_roots(arena, vars, &roots);
    struct template_names names = {.roots = roots.names, .count = roots.count};
    struct parts parts = {arena, file};
    struct template_rules rules = {
        .place = place, .names = &names, .file = input_name(file), .line = 1, .part = read_part, .part_arg = &parts};
    struct text text = buf_text(source);
    bool one_line = place != PLACE_TEXT && place != PLACE_JSON &&
                    place != PLACE_XML; /* an editor's last newline is no part of a URL */
    if (one_line && text.len && text.at[text.len - 1] == '\n') text.len--;
    const struct template *template = template_compile(arena, text, &rules, &fault);
    if (!template) return report_fault(given, arena, &fault, EXIT_USAGE);
    if (!template_render(template, roots.values, rendered, &fault))
        return report_fault(given, arena, &fault, EXIT_FAILED);
    print_rendered(given, arena, rendered);
    return EXIT_DONE;
}

static int eval_template(const struct eval_options *given, struct arena *arena, const struct args_words *words) {
    enum template_place place;
    int status = EXIT_USAGE;
    if (given->paths) return args_wrong("eval", "--paths is for jsonpath");
    if (words->count != 2)
        return args_wrong("eval", "a template is one FILE: stagedoor eval template FILE --vars JSON");
    if (given->vars && strcmp(given->vars, "@-") == 0 && strcmp(words->items[1], "-") == 0)
        return args_wrong("eval", "the template and its values cannot both come from stdin");
    if (!choose_place(given->place, words->items[1], &place, &status)) return status;
    struct buf source, rendered;
    buf_init(&source, INPUT_MAX_BYTES);
    buf_init(&rendered, RESULT_MAX_BYTES);
    status = render(given, arena, words->items[1], place, &source, &rendered);
    buf_fini(&source);
    buf_fini(&rendered);
    return status;
}

static void print_nodes(const struct eval_options *given, struct arena *arena, const struct jsonpath_nodes *nodes) {
    struct json *outer = json_new_object(arena), *list = json_new_array(arena), *paths = json_new_array(arena);
    struct buf line;
    buf_init(&line, RESULT_MAX_BYTES);
    for (size_t i = 0; i < nodes->count; i++) {
        json_push(list, nodes->items[i]);
        if (nodes->paths) json_push(paths, json_new_string(arena, nodes->paths[i]));
        if (given->json) continue;
        buf_clear(&line);
        if (nodes->paths) buf_addf(&line, "%s\t", nodes->paths[i]);
        json_write(&line, nodes->items[i]);
        printf("%s\n", buf_cstr(&line));
    }
    buf_fini(&line);
    json_set(outer, "result", list);
    if (nodes->paths || given->paths) json_set(outer, "paths", paths);
    if (given->json) report_print_json(stdout, outer);
}

static int eval_jsonpath(const struct eval_options *given, struct arena *arena, const struct args_words *words) {
    struct fault fault;
    struct jsonpath_nodes nodes;
    if (words->count < 2 || given->vars || given->place)
        return args_wrong("eval", "a JSONPath takes no --vars and no --place: stagedoor eval jsonpath PATH [FILE]");
    const struct jsonpath *path = jsonpath_compile(arena, text_of(words->items[1]), &fault);
    if (!path) {
        fault_place(&fault, "%s", words->items[1]);
        return report_fault(given, arena, &fault, EXIT_USAGE);
    }
    const struct json *root = input_json_file(arena, words->count > 2 ? words->items[2] : "-", &fault);
    if (!root) return report_fault(given, arena, &fault, EXIT_USAGE);
    bool done = given->paths ? jsonpath_locate(path, root, arena, &nodes, &fault)
                             : jsonpath_find(path, root, arena, &nodes, &fault);
    if (!done) return report_fault(given, arena, &fault, EXIT_FAILED);
    print_nodes(given, arena, &nodes);
    return nodes.count ? EXIT_DONE : EXIT_FAILED;
}

int command_eval(int argc, char **argv) {
    static const char *const kinds[] = {"template", "jsonpath"};
    struct eval_options given = {0};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    bool is_template = strcmp(words.items[0], kinds[0]) == 0, is_path = strcmp(words.items[0], kinds[1]) == 0;
    if (!is_template && !is_path) {
        const char *nearest = text_nearest(words.items[0], kinds, 2);
        return nearest ? args_wrong("eval", "cannot try a \"%s\" (did you mean %s?)", words.items[0], nearest)
                       : args_wrong("eval", "cannot try a \"%s\"; there are template and jsonpath", words.items[0]);
    }
    struct arena *arena = arena_new();
    status = is_template ? eval_template(&given, arena, &words) : eval_jsonpath(&given, arena, &words);
    arena_free(arena);
    return status;
}
