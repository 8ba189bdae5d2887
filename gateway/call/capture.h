/* Capture: what a log says for later stages, by the convention of Spinnaker's Run Job. Pure.
 *
 *     SPINNAKER_PROPERTY_Image=registry/app:7      gives Image, and image as Spinnaker itself would name it
 *     SPINNAKER_CONFIG_JSON={"replicas": 3}        gives each member as it is
 *
 * A line counts only if it begins so, blanks aside. Later lines win. What cannot be read is a warning with the line's
 * number; it takes nothing else along. */
#ifndef CALL_CAPTURE_H
#define CALL_CAPTURE_H

#include "base/mem.h"
#include "base/text.h"
#include "call/reply.h"
#include "lang/json.h"
#include "stage/stage.h"

#define CAPTURE_NAMES_MAX 1000         /* without the lower-cased ones */
#define CAPTURE_NAME_MAX 128           /* bytes of one name */
#define CAPTURE_JSON_MAX (256 * 1024)  /* bytes of one SPINNAKER_CONFIG_JSON */
#define CAPTURE_BYTES_MAX (512 * 1024) /* of all names and values as they stand in the log */
#define CAPTURE_WARNINGS_MAX 20

#define CAPTURE_NOTHING "the log has no line that begins with SPINNAKER_PROPERTY_ or SPINNAKER_CONFIG_JSON="

struct captured {
    struct text log;             /* the log as plain text: what an engine frames is put together by lines */
    const struct json *values;   /* an object */
    const struct json *warnings; /* an array of sentences: "line 12: …"; they quote nothing of the log */
};

/* Of a body in the Docker Engine API's multiplexed stream the frames are taken apart: where the definition says
 * "docker" or the Content-Type does, and the body begins with a frame. In `arena`; the log may be the reply's own
 * bytes. */
void capture_read(struct arena *arena, const struct stage_capture *how, const struct reply *reply,
                  struct captured *ret_captured);

#endif
