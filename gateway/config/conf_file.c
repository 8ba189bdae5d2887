/* Turns a configuration file into plain values: the only file that knows libconfig.
 *
 * The text comes from config/conf_scan with its includes in place, goes through libconfig, and libconfig's tree is then
 * copied into the caller's arena; nothing of the library outlives the call. Lines are those of the scan, since
 * libconfig counts in the joined text and notes a string's line late. Numbers keep the width that they were written
 * with. */
#include "config/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/conf_scan.h"

static bool read_all(int fd, struct arena *arena, size_t size, struct text *ret_text) {
    char *at = arena_alloc(arena, size + 1);
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, at + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        got += (size_t)n;
    }
    *ret_text = (struct text){at, got};
    return true;
}

static bool disk_read(void *arg, struct arena *arena, const char *path, struct text *ret_text, struct fault *fault) {
    (void)arg;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    struct stat st;
    bool ok = false;
    if (fd < 0 || fstat(fd, &st) != 0) fault_set(fault, FAULT_IO, NULL, "%s cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) fault_set(fault, FAULT_IO, NULL, "%s is no regular file", path);
    else if (st.st_size > CONF_MAX_BYTES) fault_set(fault, FAULT_TOO_LARGE, NULL, "%s is over 1 MiB", path);
    else if (!read_all(fd, arena, (size_t)st.st_size, ret_text))
        fault_set(fault, FAULT_IO, NULL, "%s cannot be read: %s", path, strerror(errno));
    else ok = true;
    if (fd >= 0) close(fd);
    return ok;
}

const struct conf_reader conf_disk = {disk_read, NULL};

struct copy {
    struct arena *arena;
    const struct conf_scan *scan;
    size_t value; /* how many were copied: the index into scan->values */
};

static void copy_scalar(struct arena *arena, const config_setting_t *from, struct conf *to) {
    switch (config_setting_type(from)) {
    case CONFIG_TYPE_BOOL:
        to->kind = CONF_BOOL;
        to->truth = config_setting_get_bool(from) != 0;
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        to->kind = CONF_INT;
        to->integer = config_setting_type(from) == CONFIG_TYPE_INT ? config_setting_get_int(from)
                                                                   : config_setting_get_int64(from);
        to->real = (double)to->integer;
        break;
    case CONFIG_TYPE_FLOAT:
        to->kind = CONF_REAL;
        to->real = config_setting_get_float(from);
        break;
    default: {
        const char *s = config_setting_get_string(from);
        to->kind = CONF_STRING;
        to->string = text_of(arena_strdup(arena, s ? s : ""));
    }
    }
}

/* Values come in the order of the text, as scan->values has them. */
static void copy_setting(struct copy *c, const config_setting_t *from, struct conf *to) {
    int line = (int)config_setting_source_line(from);
    bool top = config_setting_is_root(from);
    if (!top) {
        struct conf_extent extent = {line, line};
        if (c->value < c->scan->value_count) extent = c->scan->values[c->value++];
        if (!config_setting_name(from)) line = extent.first_line;
        to->value_line = conf_scan_place(c->scan, extent.first_line).line;
        to->value_end_line = conf_scan_place(c->scan, extent.last_line).line;
    }
    struct conf_place place = conf_scan_place(c->scan, line);
    to->file = place.file;
    to->line = place.line;
    to->name = arena_strdup(c->arena, config_setting_name(from));
    if (!config_setting_is_aggregate(from)) {
        copy_scalar(c->arena, from, to);
        return;
    }
    to->kind = config_setting_is_group(from) ? CONF_GROUP : config_setting_is_array(from) ? CONF_ARRAY : CONF_LIST;
    to->count = (size_t)config_setting_length(from);
    struct conf *items = arena_array_of(c->arena, struct conf, to->count);
    for (size_t i = 0; i < to->count; i++) copy_setting(c, config_setting_get_elem(from, (unsigned)i), &items[i]);
    to->items = items;
}

const struct conf *conf_file_read(struct arena *arena, const char *path, const struct conf_reader *reader,
                                  struct faults *faults) {
    struct conf_scan scan;
    if (!conf_scan(arena, path, reader ? reader : &conf_disk, &scan, faults)) return NULL;
    struct conf *top = NULL;
    config_t config;
    config_init(&config);
    if (config_read_string(&config, scan.text.at)) {
        struct copy copy = {.arena = arena, .scan = &scan};
        top = arena_new_of(arena, struct conf);
        copy_setting(&copy, config_root_setting(&config), top);
        top->line = top->value_line = top->value_end_line = 1;
        top->file = arena_strdup(arena, path);
    } else {
        struct conf_place place = conf_scan_place(&scan, config_error_line(&config));
        faults_addf(faults, FAULT_SYNTAX, arena_printf(arena, "%s:%d", place.file, place.line), "%s",
                    config_error_text(&config));
    }
    config_destroy(&config);
    return top;
}

const struct conf *conf_find(const struct conf *group, const char *name) {
    for (size_t i = 0; group && group->kind == CONF_GROUP && i < group->count; i++)
        if (strcmp(group->items[i].name, name) == 0) return &group->items[i];
    return NULL;
}

const char *conf_shown(struct arena *arena, const struct conf *conf) {
    switch (conf->kind) {
    case CONF_BOOL: return conf->truth ? "true" : "false";
    case CONF_INT: return arena_printf(arena, "the number %lld", (long long)conf->integer);
    case CONF_REAL: return arena_printf(arena, "the number %g", conf->real);
    case CONF_STRING: {
        struct text t = conf->string;
        if (t.len <= 60) return arena_printf(arena, "the string \"%.*s\"", TEXT_ARG(t));
        for (t.len = 60; t.len && !text_utf8_check(t);) t.len--;
        return arena_printf(arena, "the string \"%.*s…\"", TEXT_ARG(t));
    }
    case CONF_ARRAY: return "a list [ ]";
    case CONF_LIST: return "a list ( )";
    case CONF_GROUP: return "a group { }";
    }
    return "nothing";
}

const char *conf_where(struct arena *arena, const struct conf *conf) {
    return arena_printf(arena, "%s:%d", conf->file, conf->line);
}

const char *conf_path_beside(struct arena *arena, const char *beside, const char *path) {
    const char *slash = beside ? strrchr(beside, '/') : NULL;
    if (path[0] == '/' || !slash) return arena_strdup(arena, path);
    return arena_printf(arena, "%.*s%s", (int)(slash + 1 - beside), beside, path);
}
