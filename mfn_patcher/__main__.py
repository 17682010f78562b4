"""``python -m mfn_patcher``."""

from mfn_patcher.cli import main

if __name__ == "__main__":
    main()
