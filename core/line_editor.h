/*
 * Lines typed on a terminal, with history and completion, by libedit: looked for when the first
 * editor is made, so nothing links it.
 */
#ifndef CORE_LINE_EDITOR_H
#define CORE_LINE_EDITOR_H

#include <stddef.h>

/* Both from malloc and freed by the editor; NULL for nothing. */
struct line_completion {
	char *insertion; /* goes in at the cursor */
	char *listing;	 /* shown below the line */
};

/* Fills in what there is for the text before the cursor. */
typedef void (*line_complete_fn)(void *context, const char *before, size_t length,
				 struct line_completion *found);

struct line_editor;

/* -ENOSYS without libedit, -ENOTTY where standard input is no terminal that it can use. */
int line_editor_new(line_complete_fn complete, void *context, struct line_editor **made);
void line_editor_free(struct line_editor *self);

/*
 * The next line without its end, valid until the next call; -ENODATA at the end of input, -EINTR
 * when a signal that core/interrupt.h catches came in between.
 */
int line_editor_read(struct line_editor *self, const char *prompt, const char **line,
		     size_t *length);

/* For the arrow keys and for searching. */
void line_editor_remember(struct line_editor *self, const char *line);

#endif
