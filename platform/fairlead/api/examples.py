"""An example of each request body, shown in the OpenAPI document."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "Because": {"reason": "no longer needed"},
    "BreakerReset": {"reason": "the provider says it is mended"},
    "Exchange": {"subject_token": "…", "scopes": ["records:read"]},
    "Grant": {"role": "reviewer", "workspace_id": "wsp_01jd3c8v5xk2q7t9m4n6p8r0sa"},
    "Asking": {"scopes": ["records:read", "records:write"]},
    "ConnectorChoice": {"major": 1},
    "Confirmation": {"code": "k7wq2m9xtd"},
    "NewConnection": {
        "connector": "records",
        "name": "main",
        "config": {"base_url": "https://records.example.com"},
        "scopes": ["records:read"],
    },
    "NewOAuthClient": {"connector": "records", "client_id": "fairlead-harbour", "client_secret": "…"},
    "NewSecret": {"key": "…"},
    "NewApiKey": {
        "name": "nightly import",
        "environment_id": "env_01jd3c8v5xk2q7t9m4n6p8r0sb",
        "scopes": ["run:start"],
    },
    "NewEnvironment": {"name": "staging", "kind": "test"},
    "NewPerson": {"email": "rita@harbour.example", "display_name": "Rita Reviewer"},
    "NewServiceAccount": {"name": "invoice intake"},
    "NewToolset": {
        "name": "crm",
        "description": {
            "openapi": "3.1.0",
            "info": {"title": "Customers", "version": "7"},
            "servers": [{"url": "https://crm.example.com/api"}],
            "paths": {"/customers": {"get": {"operationId": "listCustomers", "responses": {}}}},
        },
        "hints": {"operations": {"listCustomers": {"pagination": {"style": "link"}}}},
        "reason": "renewals are looked up there",
    },
    "NewWebhook": {"url": "https://hooks.example.com/fairlead", "events": ["run.*", "approval.requested"]},
    "NewWorkspace": {"name": "claims"},
    "Explained": {
        "workflow": "refunds",
        "call": {"tool": "payments.refund", "effect": "write", "args": {"amount": 80}},
    },
    "RollBack": {"reason": "it asked for people too often"},
    "Rotation": {"overlap_s": 3600},
    "SecretRotation": {"overlap_s": 3600},
    "WebhookChange": {"events": ["run.completed", "run.failed"]},
    "WebhookReplay": {"position": "4711-0"},
    "TenantChange": {"tool_cap": 20},
    "AnswerGiven": {"answer": {"approved": True}},
    "Claim": {"lease_s": 900},
    "Decisions": {
        "decisions": [{"approval_id": "apr_01k…-2", "answer": "approve", "digest": "3b5d…", "comment": "as agreed"}]
    },
    "Discard": {"reason": "sent by hand"},
    "Edited": {"digest": "3b5d…", "arguments": {"amount": 90}, "comment": "the credit note came"},
    "Edit": {"arguments": {"account": "4711"}, "reason": "the account had moved"},
    "Replay": {"reason": "the account had moved", "key": "new"},
    "NewFork": {"at_version": 4, "reason": "try again with the corrected order"},
    "NewRun": {
        "workflow_id": "wfl_y4gk2ntd5cq7mzv3sxhj6brepa",
        "input": {"document": "…"},
        "labels": {"batch": "2026-03"},
    },
    "No": {"comment": "the order was cancelled"},
    "Signal": {"signal_id": "shipment-4711", "name": "goods_received", "payload": {"items": 3}},
    "SignalByLabel": {
        "signal_id": "shipment-4711",
        "name": "goods_received",
        "label": {"key": "order", "value": "4711"},
    },
    "SwitchSetting": {"modes": ["deny_writes"], "reason": "the provider answers nonsense"},
    "Supplied": {"reason": "looked up by hand", "output": {"found": True}},
    "WithReason": {"reason": "the supplier is being checked"},
    "Yes": {"digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "comment": "checked"},
}
