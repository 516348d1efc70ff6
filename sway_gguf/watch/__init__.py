"""An adapter that is written again and again, tested each time that it is whole and another one."""
