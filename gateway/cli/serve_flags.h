/* The command line of `stagedoor serve`. */
#ifndef CLI_SERVE_FLAGS_H
#define CLI_SERVE_FLAGS_H

#include "config/settings.h"

/* Sorts our own flags from those of the options' table, which go into `flags` (with room for argc) and
 * input->flag_count. -1 to go on; else the exit status. */
int serve_flags_read(int argc, char **argv, struct settings_input *input, const char **flags);

#endif
