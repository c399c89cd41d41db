"""Argilla's SQLite database: its tables, and the accounts that accounts.json names.

{"workspace": "preceptor", "accounts": {"ada": {"role": "annotator", "password": "…", "api_key": "…"}}}
"""

import shutil
from pathlib import Path
from typing import Any

import bcrypt
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from argilla_server.cli.database.migrate import migrate_db
from argilla_server.database import ALEMBIC_CONFIG_FILE, SyncSessionLocal, sync_engine
from argilla_server.models import User, UserRole, Workspace, WorkspaceUser
from sqlalchemy import select, text

# Passwords are random, 79 bits, too many to try: slow hashing would only delay logins.
ROUNDS = 8


def migrate(path: Path) -> None:
    """Migrate the database to this version of Argilla; keep a copy of an older one."""
    with sync_engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # readers need not wait for a writer
    sync_engine.dispose()
    if current == ScriptDirectory.from_config(Config(ALEMBIC_CONFIG_FILE)).get_current_head():
        return
    if current is not None:
        shutil.copy2(path, path.with_name(f"{path.name}.{current}"))
    migrate_db("head")


def settle_accounts(wanted: dict[str, Any]) -> None:
    """Make the accounts of accounts.json, and the annotators members of its workspace.

    An existing account keeps its password unless its API key differs: then accounts.json was lost and made
    anew, and the new one is used.
    """
    with SyncSessionLocal() as db:
        workspace = db.scalar(select(Workspace).where(Workspace.name == wanted["workspace"]))
        if workspace is None:
            workspace = Workspace(name=wanted["workspace"])
            db.add(workspace)
            db.flush()
        members = set(
            db.scalars(select(WorkspaceUser.user_id).where(WorkspaceUser.workspace_id == workspace.id))
        )
        for name, account in wanted["accounts"].items():
            user = db.scalar(select(User).where(User.username == name))
            if user is None:
                user = User(username=name, first_name=name, role=UserRole(account["role"]))
            if user.api_key != account["api_key"]:
                user.api_key = account["api_key"]
                user.password_hash = _hash(account["password"])
                db.add(user)
                db.flush()
            if user.id not in members:
                db.add(WorkspaceUser(workspace_id=workspace.id, user_id=user.id))
        db.commit()
    sync_engine.dispose()


def settle_statuses() -> None:
    """Mark records with all their answers as completed, by Argilla's own rule.

    Argilla commits an answer before the record's status: a server killed in between, or a queued change of
    the overlap, leaves an outdated status.
    """
    due = """
        CASE WHEN (SELECT count(*) FROM responses WHERE record_id = records.id AND status = 'submitted')
                  >= (SELECT json_extract(distribution, '$.min_submitted') FROM datasets
                      WHERE id = records.dataset_id)
             THEN 'completed' ELSE 'pending' END"""
    with sync_engine.begin() as connection:
        connection.execute(text(f"UPDATE records SET status = {due} WHERE status <> {due}"))
    sync_engine.dispose()


def gather_writes() -> None:
    """Write the write-ahead log into the database file, so that a copy of the file is complete."""
    with sync_engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
