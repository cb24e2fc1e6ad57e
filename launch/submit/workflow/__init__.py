"""A workflow: stages in one folder, each a run or a study. A stage begins when those before it are done."""
