/* Sub-commands, one file each. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* Exit statuses, the same for all: 0 done (a run: succeeded), 1 failed, 2 usage or configuration, 3 canceled, 4 gateway
 * unreachable. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELED = 3, EXIT_UNREACHABLE = 4 };

/* name, one line of help */
#define COMMANDS(X)                                                 \
    X(serve, "run the gateway")                                     \
    X(check, "check definitions: every mistake with file and line") \
    X(list, "list the stages that a gateway offers")                \
    X(run, "start a run and follow it to its end")                  \
    X(runs, "list runs")                                            \
    X(watch, "follow a run to its end")                             \
    X(cancel, "cancel a run")                                       \
    X(explain, "what a run did, and which rule judged it")          \
    X(export, "write the stages for Spinnaker")                     \
    X(eval, "try a template or a JSONPath")                         \
    X(doctor, "look for what is wrong, and say how to mend it")     \
    X(import, "make definitions of orca's webhook.preconfigured")   \
    X(version, "print the version and those of the libraries")

/* argv[0] is the sub-command's name. Each understands --help; --json where it prints a result. */
#define X(name, help) int command_##name(int argc, char **argv);
COMMANDS(X)
#undef X

#endif
