"""The screens: main, lesson, help, and the dialogs."""
