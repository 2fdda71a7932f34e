"""`python -m landslide_rcnn.cli`."""

from landslide_rcnn.cli import main

if __name__ == "__main__":
    main()
