/* The wire: libcurl's multi-socket interface driven by a loop. Knows sockets, timers and ends of transfers; nothing of
 * requests and replies. Private to back/. */
#ifndef BACK_WIRE_H
#define BACK_WIRE_H

#include <curl/curl.h>
#include <stddef.h>

#include "base/loop.h"

struct wire;

/* GIVES. `done` gets the CURLOPT_PRIVATE of each handle that has ended, with the handle already taken out; never from
 * inside wire_start or wire_stop. */
struct wire *wire_new(struct loop *loop, size_t max_connections, void (*done)(void *owner, CURLcode result));
void wire_free(struct wire *wire); /* no handle may be under way; NULL is allowed */

void wire_equip(struct wire *wire, CURL *easy); /* the options that every handle needs to run on this wire */
void wire_start(struct wire *wire, CURL *easy);
void wire_stop(struct wire *wire, CURL *easy); /* `done` will not be called for it */

#endif
