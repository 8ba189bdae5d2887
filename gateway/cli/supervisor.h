/* What supervisors want to know: that the gateway is ready (sd_notify), and its process id in a file. */
#ifndef CLI_SUPERVISOR_H
#define CLI_SUPERVISOR_H

#include <stdbool.h>

#include "base/fault.h"

/* Tells whoever NOTIFY_SOCKET names, as sd_notify(3) has it: "READY=1". Nothing happens where nobody wants to know. */
void supervisor_tell(const char *state);

/* The file is replaced whole, so that it names one process or the other, never half of one. Checked at start with
 * `supervisor_pid_check`, before it is too late to refuse; "" is no file, and fine. */
bool supervisor_pid_check(const char *path, struct fault *fault);
bool supervisor_pid_write(const char *path, struct fault *fault);
void supervisor_pid_remove(const char *path); /* only while it names this process */

#endif
