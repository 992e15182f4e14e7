"""What the template arm is made of: its prompts, what it reads out of answers, subtasks, and memory's port."""
