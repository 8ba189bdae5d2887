/* libevhtp by itself, as its examples have it: one fixed answer to whatever is asked. What a report from memory is set
 * beside.
 *
 *     evhtp_fixed PORT BYTES */
#include <stdlib.h>
#include <string.h>

#include <evhtp.h>

static struct {
    char *body;
    size_t bytes;
} fixed;

static void on_request(evhtp_request_t *request, void *arg) {
    (void)arg;
    evhtp_headers_add_header(request->headers_out, evhtp_header_new("Content-Type", "application/json", 0, 0));
    evbuffer_add(request->buffer_out, fixed.body, fixed.bytes);
    evhtp_send_reply(request, EVHTP_RES_OK);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    fixed.bytes = strtoul(argv[2], NULL, 10);
    fixed.body = malloc(fixed.bytes);
    if (!fixed.body) return 1;
    memset(fixed.body, ' ', fixed.bytes);
    memcpy(fixed.body, "{}", 2);
    struct event_base *base = event_base_new();
    evhtp_t *server = evhtp_new(base, NULL);
    evhtp_set_gencb(server, on_request, NULL);
    if (evhtp_bind_socket(server, "127.0.0.1", (uint16_t)strtoul(argv[1], NULL, 10), 1024) != 0) return 1;
    event_base_dispatch(base);
    return 0;
}
