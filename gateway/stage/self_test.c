/* The definition of the self-test.
 *
 * It is a definition like any other, compiled by the same compiler and run by the same engine: only its text comes from
 * here in place of a file. Its upstream is /health of the gateway that runs it, which asks for no token and changes
 * nothing. With `hold` it goes on until it is canceled, so that a cancel can be tried as well; one that nobody looks at
 * any more ends by itself. The connection to itself is not verified: no certificate names 127.0.0.1, and nothing secret
 * is sent. */
#include "stage/self_test.h"

#include <string.h>

#include "base/text.h"
#include "lang/json.h"

enum { TEXT_MAX_BYTES = 64 * 1024 };

static void add_call(struct buf *out, const struct self_test_place *place) {
    buf_adds(out, "  method = \"GET\"; url = ");
    buf_add_json_string(out, text_of(place->base_url));
    buf_adds(out, " \"/health\";\n"); /* strings side by side are one */
    if (place->unix_socket) {
        buf_adds(out, "  unix_socket = ");
        buf_add_json_string(out, text_of(place->unix_socket));
        buf_adds(out, ";\n");
    }
    if (strncmp(place->base_url, "https:", 6) == 0) buf_adds(out, "  tls = { insecure = true; };\n");
}

static void write_definition(struct buf *out, const struct self_test_place *place) {
    buf_adds(out, "name        = \"" SELF_TEST_NAME "\";\n"
                  "label       = \"Self-test\";\n"
                  "description = \"Asks the gateway itself, and changes nothing; stagedoor doctor starts it.\";\n"
                  "parameters  = ( { name = \"hold\"; type = \"boolean\"; default = false; "
                  "label = \"Go on until canceled\"; } );\n"
                  "orphan_after = \"1m\";\n"
                  "request = {\n");
    add_call(out, place);
    buf_adds(out, "};\nstatus = {\n");
    add_call(out, place);
    buf_adds(out, "  every = \"1s\"; timeout = \"10m\";\n"
                  "  success_when = \"not parameters.hold\"; running_when = \"parameters.hold\";\n"
                  "  failure_when = \"body.status != 'UP'\";\n"
                  "};\ncancel = {\n");
    add_call(out, place);
    buf_adds(out, "  timeout = \"0s\";\n};\noutputs = { status = \"$.status\"; };\n");
}

const char *self_test_source(struct arena *arena, const struct self_test_place *place) {
    struct json *source = json_new_object(arena);
    struct buf text, whole;
    buf_init(&text, TEXT_MAX_BYTES);
    buf_init(&whole, 2 * TEXT_MAX_BYTES);
    write_definition(&text, place);
    json_set(source, "file", json_new_string(arena, "(built in)"));
    json_set(source, "text", json_new_text(arena, buf_text(&text)));
    json_set(source, "includes", json_new_object(arena));
    json_set(source, "templates", json_new_object(arena));
    json_write(&whole, source);
    const char *made = arena_strdup(arena, buf_cstr(&whole));
    buf_fini(&whole);
    buf_fini(&text);
    return made;
}
