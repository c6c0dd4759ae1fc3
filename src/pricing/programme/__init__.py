"""Programme: tasks, points, health value, group, from one file to every member's value."""
